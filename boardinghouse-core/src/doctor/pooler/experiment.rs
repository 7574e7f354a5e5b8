//! What is done to find out, and what was seen.

use diesel::{
    connection::SimpleConnection as _, pg::PgConnection, prelude::*, sql_query, sql_types,
};

use super::probe::{Look, Probe, look, set_mark};
use crate::{
    conninfo::{sets, with_parameter},
    error::Result,
};

/// How many connections are opened at most, beside the one that tries an option.
const MOST: usize = 25;

/// How many new processes are enough.
const ENOUGH: usize = 3;

/// What became of sessions, and how that is known.
#[derive(Debug)]
pub(super) enum Sessions {
    Stable(String),
    Shared(String),
    Unknown(String),
}

/// What became of a transaction, and how that is known.
#[derive(Debug)]
pub(super) enum Transactions {
    Kept(String),
    Broken(String),
    Unknown(String),
}

/// Everything that was seen.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) sessions: Sessions,
    pub(super) transactions: Transactions,
    pub(super) notes: Vec<String>,
}

/// A connection, and what it said first.
type Opened = (Probe, Look);

pub(super) fn run(url: &str) -> Result<Seen> {
    let mut opened: Vec<Opened> = Vec::new();
    let mut fresh = 0;
    let sessions = loop {
        if let Some(sessions) = open_another(url, &mut opened, &mut fresh)? {
            break sessions;
        }
    };
    let processes = {
        let mut processes: Vec<_> = opened.iter().map(|(_, l)| (l.pid, l.started)).collect();
        processes.sort_unstable();
        processes.dedup();
        processes.len()
    };
    let mut notes = vec![format!(
        "{} connections were opened; they began on {processes} server processes, {fresh} of which were \
         started for them",
        opened.len()
    )];
    let transactions = hold_a_transaction(&opened);
    notes.push(prepared_statements(&opened));
    drop(opened);
    notes.extend(options(url));
    Ok(Seen {
        sessions,
        transactions,
        notes,
    })
}

/// Opens one more connection and looks at all of them. Says when it is known what sessions are worth.
fn open_another(
    url: &str,
    opened: &mut Vec<Opened>,
    fresh: &mut usize,
) -> Result<Option<Sessions>> {
    let number = opened.len() + 1;
    // By the server's clock, before the connection is asked for.
    let before = match opened.first() {
        Some((first, known)) => match first.look() {
            Some(Ok(now)) if now.is_same_process(known) => Some(now.now),
            _ => return Ok(look_at_all(opened)),
        },
        None => None,
    };
    let (probe, look) = match Probe::open(url, number.to_string()) {
        Some(Ok(new)) => new,
        Some(Err(error)) if opened.is_empty() => return Err(error),
        Some(Err(error)) => {
            return Ok(Some(Sessions::Unknown(format!(
                "connection {number} was refused ({}) before it was known",
                error.chain()
            ))));
        }
        None if opened.is_empty() => {
            return Ok(Some(Sessions::Unknown(
                "the first connection has to wait, as if all were in use".to_owned(),
            )));
        }
        // Those before it are idle: what they have is kept for them.
        None => {
            return Ok(Some(look_at_all(opened).unwrap_or_else(|| {
                Sessions::Stable(format!(
                    "connection {number} has to wait for a server process, though those of the {} \
                     connections before it are idle: each is kept for its own connection",
                    opened.len()
                ))
            })));
        }
    };
    if before.is_some_and(|before| look.started >= before) {
        *fresh += 1;
    }
    opened.push((probe, look));
    if let Some(shared) = look_at_all(opened) {
        return Ok(Some(shared));
    }
    if *fresh >= ENOUGH {
        return Ok(Some(Sessions::Stable(format!(
            "each of {number} connections kept a server process of its own, and what was set in it, \
             while the others worked; {fresh} of the processes were started though others were idle"
        ))));
    }
    Ok((number >= MOST).then(|| {
        Sessions::Unknown(format!(
            "each of {number} connections kept a server process of its own, but only {fresh} of these \
             were started for them: there may be a pooler that has more of them than were tried"
        ))
    }))
}

/// Looks at all connections, in both directions, so that each looks twice in a row and after others.
/// Says what shows that sessions are not stable.
fn look_at_all(opened: &[Opened]) -> Option<Sessions> {
    let numbered = || opened.iter().zip(1..);
    for ((_, known), number) in numbered() {
        let mut others = numbered().filter(|(_, other)| *other < number);
        if let Some((_, other)) = others.find(|((_, other), _)| known.is_same_process(other)) {
            return Some(Sessions::Shared(format!(
                "connections {other} and {number}, both open, were served by one server process \
                 ({})",
                known.pid
            )));
        }
    }
    for ((probe, known), number) in
        numbered().chain(numbered().collect::<Vec<_>>().into_iter().rev())
    {
        let now = match probe.look() {
            Some(Ok(now)) => now,
            Some(Err(error)) => {
                return Some(Sessions::Unknown(format!(
                    "connection {number} failed: {error}"
                )));
            }
            None => {
                return Some(Sessions::Unknown(format!(
                    "connection {number} has to wait, as if all were in use"
                )));
            }
        };
        if !now.is_same_process(known) {
            return Some(Sessions::Shared(format!(
                "connection {number} was served by server process {} and then by {}",
                known.pid, now.pid
            )));
        }
        if now.mark != known.mark {
            return Some(Sessions::Shared(format!(
                "what was set on connection {number} was not there at its next statement"
            )));
        }
    }
    None
}

/// Holds a transaction open on one connection while the others want to work.
fn hold_a_transaction(opened: &[Opened]) -> Transactions {
    let Some(((holder, _), others)) = opened.split_first() else {
        return Transactions::Unknown("there was no connection to try it on".to_owned());
    };
    let begun = holder.ask(|conn| {
        conn.batch_execute("BEGIN")?;
        set_mark(conn, "held", true)?;
        look(conn)
    });
    let first = match begun.wait() {
        Some(Ok(first)) => first,
        Some(Err(error)) => {
            return Transactions::Broken(format!(
                "a transaction is refused: {}",
                error.to_string().trim_end()
            ));
        }
        None => return Transactions::Unknown("a transaction has to wait to begin".to_owned()),
    };
    // They may get no server process before the transaction ends.
    let waiting: Vec<_> = others.iter().map(|(other, _)| other.ask(look)).collect();
    for _ in 0..10 {
        match holder.look() {
            Some(Ok(now)) if now.is_same_process(&first) && now.mark == "held" => {}
            Some(Ok(_)) => {
                return Transactions::Broken(
                    "a transaction did not keep its server process, or what was set for it"
                        .to_owned(),
                );
            }
            _ => return Transactions::Unknown("a transaction failed half-way".to_owned()),
        }
    }
    let intruder = waiting
        .iter()
        .filter_map(|answer| answer.already()?.ok())
        .any(|look| look.is_same_process(&first));
    if intruder {
        return Transactions::Broken(
            "another connection was served by the server process of an open transaction".to_owned(),
        );
    }
    let ended = holder.ask(|conn| conn.batch_execute("COMMIT"));
    for answer in waiting {
        answer.wait();
    }
    match ended.wait() {
        Some(Ok(())) => Transactions::Kept(
            "a transaction kept its server process, and what was set for it, while other connections \
             worked or waited"
                .to_owned(),
        ),
        _ => Transactions::Unknown("a transaction could not be committed".to_owned()),
    }
}

/// Whether what Diesel prepares under a name is there again.
fn prepared_statements(opened: &[Opened]) -> String {
    let one = |conn: &mut PgConnection| {
        diesel::select(1_i32.into_sql::<sql_types::Integer>()).execute(conn)
    };
    let mut kept = true;
    for (probe, _) in opened.iter().take(2).chain(opened.iter().take(2)) {
        // A typed query, which Diesel prepares; the text is always the same.
        kept &= matches!(probe.ask(one).wait(), Some(Ok(_)));
    }
    for (probe, _) in opened.iter().take(2) {
        // So that it is in nobody's way where the process is shared.
        let forget = |conn: &mut PgConnection| conn.batch_execute("DEALLOCATE \"__diesel_stmt_1\"");
        let _ = probe.ask(forget).wait();
    }
    if kept {
        "prepared statements were kept".to_owned()
    } else {
        "prepared statements were lost: Diesel needs them off here, as PathMode::Transaction has them"
            .to_owned()
    }
}

/// Whether options in the URL reach the server, where it has none yet.
fn options(url: &str) -> Option<String> {
    if sets(url, "options") {
        return None;
    }
    let with_option = with_parameter(
        url,
        "options=-csearch_path%3Dpg_catalog",
        "options='-csearch_path=pg_catalog'",
    );
    Some(match Probe::open(&with_option, String::new())? {
        Err(_) => "a search_path in the URL's options is refused".to_owned(),
        Ok((probe, _)) => match probe.ask(path).wait()? {
            Ok(path) if path == "pg_catalog" => {
                "a search_path in the URL's options is obeyed".to_owned()
            }
            _ => "a search_path in the URL's options is silently dropped".to_owned(),
        },
    })
}

#[derive(QueryableByName)]
struct PathRow {
    #[diesel(sql_type = sql_types::Text)]
    path: String,
}

fn path(conn: &mut PgConnection) -> QueryResult<String> {
    sql_query("SELECT pg_catalog.current_setting('search_path') AS path")
        .get_result::<PathRow>(conn)
        .map(|row| row.path)
}
