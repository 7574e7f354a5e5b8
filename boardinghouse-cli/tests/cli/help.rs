//! What `--help` says, pinned.

use insta::assert_snapshot;

use crate::fixture::{Run, boardinghouse};

fn help(args: &[&str]) -> String {
    let run: Run = boardinghouse(args).arg("--help").output().unwrap().into();
    let run = run.expect(0);
    assert_eq!(run.stderr, "");
    run.stdout
}

#[test]
fn every_command_explains_itself() {
    for command in [
        &[][..],
        &["init"],
        &["tenant"],
        &["tenant", "create"],
        &["tenant", "list"],
        &["tenant", "show"],
        &["tenant", "rename"],
        &["tenant", "suspend"],
        &["tenant", "resume"],
        &["tenant", "delete"],
        &["provision"],
        &["domain"],
        &["domain", "add"],
        &["domain", "list"],
        &["domain", "remove"],
        &["domain", "primary"],
        &["domain", "redirect"],
        &["member"],
        &["member", "add"],
        &["member", "list"],
        &["member", "remove"],
        &["migrate"],
        &["revert"],
        &["redo"],
        &["status"],
        &["migration"],
        &["migration", "generate"],
        &["print-schema"],
        &["lint"],
        &["check"],
        &["drift"],
        &["table"],
        &["table", "move"],
        &["gate"],
        &["sql"],
        &["clone"],
        &["pool"],
        &["pool", "status"],
        &["pool", "fill"],
        &["pool", "drain"],
        &["template"],
        &["template", "show"],
        &["template", "compile"],
        &["template", "verify"],
        &["dev"],
    ] {
        let name = [&["help"], command].concat().join("-");
        let text = help(command);
        assert!(text.contains("Example"), "{text}");
        assert_snapshot!(name, text);
    }
}

#[test]
fn help_does_not_show_what_is_in_the_environment() {
    let run: Run = boardinghouse(&["--help"])
        .env("DATABASE_URL", "postgres://u:secret@h/d")
        .env("BOARDINGHOUSE_RESERVED", "secret")
        .output()
        .unwrap()
        .into();
    assert_eq!(run.expect(0).stdout, help(&[]));
}
