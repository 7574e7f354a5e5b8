//! `boardinghouse print-schema`: the application's schema.rs, from both sets of migrations.

use std::{env, fs, io, path::Path};

use boardinghouse_core::{MigrationReport, SchemaName, ScratchDatabase, Target};
use diesel_migrations::FileBasedMigrations;
use similar::TextDiff;

use super::generate::unwritable;
use crate::{
    args::PrintSchema,
    context::Context,
    diesel::{Diesel, Printing},
    exit::{Exit, Failure},
    interrupt::Interrupt,
    output::Output,
    render::toolchain::{CodeReport, Generated, GeneratedOutcome, GeneratedReport},
};

/// How many lines of a difference are shown.
const LINES: usize = 60;

pub(super) fn print_schema(
    context: &Context,
    output: &Output,
    wanted: &PrintSchema,
) -> Result<Exit, Failure> {
    let mut printings = Printing::all()?;
    if wanted.own.is_some() {
        // What the first section says of the look of code, and not what it says of tenants' tables.
        printings.truncate(1);
        printings.iter_mut().for_each(Printing::forget_tables);
    }
    let sources = || match &wanted.own {
        Some(id) => context.static_sources(id),
        None => context.printed_sources(),
    };
    let to_stdout = match &wanted.output {
        Some(path) => path == Path::new("-"),
        None => printings.iter().all(|printing| printing.file.is_none()),
    };
    if to_stdout && wanted.check {
        return Err(Failure::usage(
            "there is nothing to compare with: name a file with --output, or as `file` in section \
             [print_schema] of diesel.toml",
        ));
    }
    let diesel = Diesel::find(wanted.diesel.as_deref())?;
    if to_stdout {
        let codes = codes(context, &diesel, &printings, sources()?)?;
        output.report(&CodeReport {
            schema: codes.concat(),
        })?;
        return Ok(Exit::Done);
    }
    let printings = with_files(printings, wanted.output.as_deref())?;
    let report = generate(context, &diesel, &printings, sources()?, wanted.check)?;
    let stale = |generated: &Generated| matches!(generated.outcome, GeneratedOutcome::Stale { .. });
    let pending = report.files.iter().any(stale);
    output.report(&report)?;
    Ok(if pending { Exit::Pending } else { Exit::Done })
}

/// Prints anew after a run that has changed something, where boardinghouse.toml asks for it. The
/// migrations are done by then: what goes wrong here is told, and makes the exit code that of a failure.
pub(super) fn after_migrate(
    context: &Context,
    output: &Output,
    report: &MigrationReport,
    exit: Exit,
) -> Exit {
    let mut entries = report.entries.iter();
    let changed = entries.any(|entry| {
        // Tables of static tenants are not printed.
        let printed = !matches!(entry.target, Target::Registry | Target::Static { .. });
        printed && !entry.applied.is_empty()
    });
    if !context.config().print_schema.after_migrate || !changed {
        return exit;
    }
    let written = || -> Result<GeneratedReport, Failure> {
        let named = env::var_os("BOARDINGHOUSE_DIESEL").filter(|path| !path.is_empty());
        let diesel = Diesel::find(named.as_ref().map(Path::new))?;
        let mut printings = Printing::all()?;
        printings.retain(|printing| printing.file.is_some());
        if printings.is_empty() {
            return Err(Failure::usage(
                "diesel.toml names no `file` in its section [print_schema]",
            ));
        }
        generate(
            context,
            &diesel,
            &printings,
            context.printed_sources()?,
            false,
        )
    };
    match written() {
        Ok(report) => {
            for generated in &report.files {
                if matches!(generated.outcome, GeneratedOutcome::Written) {
                    output.note(&format!("{} written", generated.file));
                }
            }
            exit
        }
        Err(failure) => {
            output.failure(
                &failure,
                Some("the migrations are done; run `boardinghouse print-schema`".into()),
            );
            if exit == Exit::Done {
                Exit::Failed
            } else {
                exit
            }
        }
    }
}

/// Those that are to be written, all with their files.
fn with_files(printings: Vec<Printing>, output: Option<&Path>) -> Result<Vec<Printing>, Failure> {
    let Some(output) = output else {
        let named = printings
            .into_iter()
            .filter(|printing| printing.file.is_some());
        return Ok(named.collect());
    };
    match <[Printing; 1]>::try_from(printings) {
        Ok([mut printing]) => {
            printing.file = Some(output.to_owned());
            Ok(vec![printing])
        }
        Err(_) => Err(Failure::usage(
            "diesel.toml has several sections under print_schema, each with its own file: --output \
             names one",
        )),
    }
}

fn generate(
    context: &Context,
    diesel: &Diesel,
    printings: &[Printing],
    sources: [Vec<FileBasedMigrations>; 2],
    check: bool,
) -> Result<GeneratedReport, Failure> {
    let codes = codes(context, diesel, printings, sources)?;
    let files = printings
        .iter()
        .zip(codes)
        .filter_map(|(printing, code)| Some((printing.file.as_deref()?, code)))
        .map(|(file, code)| put(file, &code, check))
        .collect::<Result<_, _>>()?;
    Ok(GeneratedReport { files })
}

/// What Diesel prints for both sets of migrations, on a database that is gone afterwards.
fn codes(
    context: &Context,
    diesel: &Diesel,
    printings: &[Printing],
    [shared, tenants]: [Vec<FileBasedMigrations>; 2],
) -> Result<Vec<String>, Failure> {
    let layout = context.layout();
    // The scratch database is dropped also then.
    let interrupt = Interrupt::watch()?;
    let scratch = ScratchDatabase::create(context.url()?)?;
    let usual = SchemaName::public();
    for extension in &context.config().print_schema.extensions {
        scratch.create_extension(extension, layout.extra().first().unwrap_or(&usual))?;
    }
    scratch.migrate_sets(layout, shared, tenants)?;
    let mut codes = Vec::new();
    for printing in printings {
        interrupt.check()?;
        let printed = diesel.print(printing, scratch.url());
        // Diesel's tool has got Ctrl-C, too, and says that it failed.
        interrupt.check()?;
        codes.push(printed?);
    }
    scratch.remove()?;
    Ok(codes)
}

/// Writes a file, or compares it. One that is current is not touched: nothing is built anew for it.
fn put(file: &Path, code: &str, check: bool) -> Result<Generated, Failure> {
    let old = match fs::read_to_string(file) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => {
            let message = format!("could not read {}: {error}", file.display());
            return Err(Failure::usage(message));
        }
    };
    // Line by line: a checkout may have other line ends.
    let current = old.as_ref().is_some_and(|old| old.lines().eq(code.lines()));
    let outcome = if current {
        GeneratedOutcome::Current
    } else if check {
        GeneratedOutcome::Stale {
            diff: difference(&old.unwrap_or_default(), code),
        }
    } else {
        if let Some(dir) = file.parent() {
            fs::create_dir_all(dir).map_err(|error| unwritable(dir, &error))?;
        }
        fs::write(file, code).map_err(|error| unwritable(file, &error))?;
        GeneratedOutcome::Written
    };
    Ok(Generated {
        file: file.display().to_string(),
        outcome,
    })
}

/// The lines that differ, up to a bound, with a few around them.
fn difference(old: &str, new: &str) -> String {
    // As it was compared: whatever the line ends.
    let [old, new] = [old, new].map(|text| text.lines().collect::<Vec<_>>());
    let text = TextDiff::from_slices(&old, &new)
        .unified_diff()
        .context_radius(2)
        .header("the file", "the migrations")
        .to_string();
    let mut lines: Vec<&str> = text.lines().collect();
    let more = lines.len().saturating_sub(LINES);
    lines.truncate(LINES);
    let mut text = lines.join("\n");
    if more > 0 {
        text.push_str(&format!("\n… and {more} more lines"));
    }
    text
}
