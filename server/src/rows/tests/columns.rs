//! A value that a column must not hold is an error that names table, column and row, never a panic
//! or a default.

use std::collections::{BTreeMap, BTreeSet};

use evidence::entry::state::{AttemptState, CollectionState, EndpointState, IncidentState, OrderState};
use rusqlite::types::Value;

use super::super::record::{Record, list};
use super::*;
use crate::rows::collections::{CollectionRow, ItemRow, OutcomeRow, SegmentRow};
use crate::rows::disposals::{ApprovedPlan, Condemned, DisposedRow, WaitRow};
use crate::rows::endpoints::{EndpointRow, LiveRow, TokenRow};
use crate::rows::entries::EntryRow;
use crate::rows::holds::HoldRow;
use crate::rows::incidents::IncidentRow;
use crate::rows::log::{ChainState, LogState, StagedRow};
use crate::rows::orders::{ApprovalRow, AttemptRow, OrderRow, TargetRow};
use crate::rows::rosters::{LoginRow, RosterRow};
use crate::rows::scrubs::ScrubRow;
use crate::rows::stamps::{NewestStamp, StampRow, StampTask};

const TIME: &str = "2026-11-21T00:00:00.000Z";

/// Columns that statements compare, sort or count by, and that no function of `rows` returns.
const UNREAD: &[&str] = &[
    "condemned.count",
    "condemned.object",
    "chains.incident",
    "details.digest",
    "details.idx",
    "hold_marks.collection",
    "hold_marks.held",
    "hold_marks.segments",
    "hold_marks.store",
    "holds.detail",
    "holds.incident",
    "holds.released",
    "items.collection",
    "log.id",
    "outcomes.collection",
    "repair_queue.due_ms",
    "retention.incident",
    "segments.collection",
    "staging.size",
    "targets.order_id",
    "tsa_newest.tsa",
    "tsa_queue.due_ms",
    "tsa_queue.error",
    "tsa_queue.tsa",
];

/// Reads every row of a record's table.
struct Reader {
    table: &'static str,
    /// Column and type of each field that is a column of the table.
    fields: Vec<(&'static str, &'static str)>,
    read: fn(&Connection) -> Result<usize, DbError>,
}

fn reader<T: Record>(read: fn(&Connection) -> Result<usize, DbError>) -> Reader {
    let plain = |column: &'static str| {
        let name = column.rsplit_once(" AS ").map_or(column, |(_, name)| name);
        name.rsplit_once('.').map_or(name, |(_, name)| name)
    };
    let fields = T::COLUMNS.iter().map(|column| plain(column)).zip(T::TYPES.iter().copied()).collect();
    Reader { table: T::TABLE, fields, read }
}

macro_rules! readers {
    ($($type:ty, $rest:literal;)*) => {
        vec![$(reader::<$type>(|db| Ok(list::<$type>(db, $rest, [])?.len()))),*]
    };
}

fn readers() -> Vec<Reader> {
    let mut readers = readers![
        ApprovalRow, "FROM approvals";
        ApprovedPlan, "FROM condemned";
        AttemptRow, "FROM attempts";
        ChainState, "FROM chains";
        CollectionRow, "FROM collections";
        Condemned, "FROM condemned";
        DisposedRow, "FROM disposed";
        EndpointRow, "FROM endpoints";
        EntryRow, "FROM entries";
        HoldRow, "FROM holds AS h LEFT JOIN details AS d ON d.digest = h.detail";
        IncidentRow, "FROM incidents AS i LEFT JOIN details AS d ON d.digest = i.detail
            LEFT JOIN chains AS c ON c.incident = i.incident";
        ItemRow, "FROM items";
        LiveRow, "FROM endpoint_live";
        LogState, "FROM log";
        LoginRow, "FROM logins";
        NewestStamp, "FROM tsa_newest";
        OrderRow, "FROM orders";
        OutcomeRow, "FROM outcomes";
        RepairTask, "FROM repair_queue";
        RosterRow, "FROM rosters";
        ScrubRow, "FROM scrubs";
        SegmentRow, "FROM segments";
        StagedRow, "FROM staging";
        StampRow, "FROM stamps";
        StampTask, "FROM tsa_queue";
        TargetRow, "FROM targets";
        TokenRow, "FROM tokens";
        WaitRow, "FROM disposal_waits";
    ];
    // Values that a function reads alone.
    let one = |table, column, type_, read| Reader { table, fields: vec![(column, type_)], read };
    readers.push(one("details", "text", "Option<String>", |db| {
        Ok(incidents::detail(db, &Digest([1; 32]))?.into_iter().count())
    }));
    readers.push(one("retention", "until", "Time", |db| {
        Ok(holds::retention(db, &IncidentId::new(2026, 1).unwrap())?.into_iter().count())
    }));
    readers.push(one("repair_queue", "error", "Option<String>", |db| {
        Ok(wanting_on(db, "one")?.1.into_iter().count())
    }));
    readers
}

/// Returns a value that fits a type, and values that do not.
fn values_of(type_: &str) -> (Value, Vec<Value>) {
    let text = |text: &str| Value::Text(text.to_owned());
    let blob = |length: usize| Value::Blob(vec![1; length]);
    let key = evidence::keys::SigningKey::from_seed(&[9; 32]).public();
    let (optional, inner) = match type_.strip_prefix("Option<").and_then(|rest| rest.strip_suffix('>')) {
        Some(inner) => (true, inner),
        None => (false, type_),
    };
    let state = |good: &str| (text(good), vec![text("lost"), text("Lost"), blob(3)]);
    let (good, mut foreign) = match inner {
        "Digest" | "Hash" => (blob(32), vec![text(&"ab".repeat(32)), blob(31), blob(33), Value::Integer(1)]),
        "Time" => (
            text(TIME),
            vec![
                text("10000-01-01T00:00:00.000Z"),
                text("+10000-01-01T00:00:00.00Z"),
                text("now"),
                Value::Integer(1),
            ],
        ),
        "u64" => (Value::Integer(1), vec![Value::Integer(-1), text("many"), Value::Real(0.5)]),
        "u32" => (Value::Integer(1), vec![Value::Integer(-1), Value::Integer(1 << 32), text("many")]),
        "Generation" => (Value::Integer(1), vec![Value::Integer(0), Value::Integer(-1), text("first")]),
        "Millis" => (
            Value::Integer(1),
            vec![Value::Integer(-1), Value::Integer(i64::MAX), text("now"), Value::Real(0.5)],
        ),
        "bool" => (Value::Integer(1), vec![Value::Integer(2), Value::Integer(-1), text("yes")]),
        "String" => (text("one"), vec![blob(1), Value::Integer(1)]),
        "Vec<u8>" => (blob(5), vec![text("bytes"), Value::Integer(1)]),
        "EndpointId" | "PersonId" => (text("web-03"), vec![text("Web 03"), blob(3)]),
        "IncidentId" | "Chain" => (text("INC-2026-0001"), vec![text("INC-2026-1"), blob(3)]),
        "Actor" => (text("person:ada"), vec![text("ada"), blob(3)]),
        "Fingerprint" => (text(&key.fingerprint().to_string()), vec![text("SHA256:short"), blob(32)]),
        "PublicKey" => (text(&key.to_string()), vec![text("ssh-rsa AAAA"), blob(32)]),
        "EntryType" => (text("log.genesis"), vec![text("log unheard"), blob(3)]),
        "Outcome" => (text("ok"), vec![blob(2), Value::Integer(1)]),
        "Kind" => (text("file"), vec![text("folder"), blob(4)]),
        "Sensitivity" => (text("normal"), vec![text("secret"), blob(4)]),
        "Decision" => (text("approve"), vec![text("perhaps"), blob(4)]),
        "Wanting" => (text("missing"), vec![text("present"), blob(4)]),
        "Key" => (text(key_text().as_str()), vec![text("../etc/shadow"), blob(4)]),
        "Vec<(String, String)>" => (text("[[\"a\",\"b\"]]"), vec![text("{}"), text("[[1]]"), blob(2)]),
        "ActObject" => (Value::Blob(b"{}\n".to_vec()), vec![blob(3), text("{}\n")]),
        "OrderState" => state("issued"),
        "AttemptState" | "CollectionState" => state("stored"),
        "EndpointState" => state("enrolled"),
        "IncidentState" => state("open"),
        "Severity" => state("high"),
        "Tlp" => state("amber"),
        "RsitClass" => state("intrusions"),
        "Object" => (text("INC-2026-0001/details"), vec![text("INC-2026-0001"), blob(3)]),
        other => panic!("no foreign value for columns of type {other}: add some"),
    };
    // A required key is never empty, nor is any value of a type that has no form for absence.
    if !optional {
        foreign.push(Value::Null);
    }
    (good, foreign)
}

fn key_text() -> String {
    key(1).to_string()
}

/// Makes the schema without the checks of SQLite itself, because a damaged file may break them.
fn lenient() -> Connection {
    // `IS NOT NULL` is the condition of an index and stays.
    let schema = include_str!("../schema.sql")
        .replace(") STRICT, WITHOUT ROWID;", ");")
        .replace(") STRICT;", ");")
        .replace("IS NOT NULL", "NOTNULL")
        .replace("NOT NULL", "");
    let db = Connection::open_in_memory().unwrap();
    db.pragma_update(None, "ignore_check_constraints", true).unwrap();
    db.execute_batch(&schema).unwrap();
    db
}

fn names(db: &Connection, sql: &str) -> Vec<String> {
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn columns(db: &Connection, table: &str) -> Vec<String> {
    names(db, &format!("SELECT name FROM pragma_table_info('{table}') ORDER BY cid"))
}

/// Fills one row of a table. A column that no reader knows gets a value by its declared type.
fn fill(db: &Connection, table: &str, types: &BTreeMap<String, &str>) {
    let columns = columns(db, table);
    let values = columns.iter().map(|column| match types.get(column) {
        Some(type_) => values_of(type_).0,
        None => Value::Null,
    });
    let places = (1..=columns.len()).map(|number| format!("?{number}")).collect::<Vec<_>>().join(", ");
    let sql = format!("INSERT INTO {table} ({}) VALUES ({places})", columns.join(", "));
    db.execute(&sql, rusqlite::params_from_iter(values)).unwrap();
}

#[test]
fn a_foreign_value_in_any_column_is_an_error_that_names_it() {
    let readers = readers();
    let mut seen = BTreeSet::new();
    let mut cases = 0;
    let tables = names(&lenient(), "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name");
    assert!(tables.len() >= 30, "{} tables", tables.len());
    for table in &tables {
        let of_table: Vec<&Reader> = readers.iter().filter(|reader| reader.table == table).collect();
        let mut types: BTreeMap<String, &str> = BTreeMap::new();
        for (column, type_) in of_table.iter().flat_map(|reader| &reader.fields) {
            types.insert((*column).to_owned(), type_);
        }
        for (column, type_) in [("digest", "Digest"), ("incident", "IncidentId"), ("store", "String")] {
            types.entry(column.to_owned()).or_insert(type_);
        }
        let fresh = || {
            let db = lenient();
            fill(&db, table, &types);
            db
        };
        for reader in &of_table {
            assert_eq!((reader.read)(&fresh()).unwrap(), 1, "{table} holds one row that can be read");
        }
        for column in columns(&fresh(), table) {
            let readers: Vec<_> = of_table
                .iter()
                .filter_map(|reader| {
                    let field = reader.fields.iter().find(|(name, _)| *name == column)?;
                    Some((reader, field.1))
                })
                .collect();
            if readers.is_empty() {
                continue;
            }
            seen.insert(format!("{table}.{column}"));
            for (reader, type_) in readers {
                for value in values_of(type_).1 {
                    let db = fresh();
                    if db.execute(&format!("UPDATE {table} SET \"{column}\" = ?1"), [&value]).is_err() {
                        // SQLite itself keeps a table's key an integer.
                        continue;
                    }
                    let stored: Value = db
                        .query_row(&format!("SELECT \"{column}\" FROM {table}"), [], |row| row.get(0))
                        .unwrap();
                    if stored != value {
                        // The column's affinity turned the value into another one, which is no longer foreign.
                        continue;
                    }
                    let error = (reader.read)(&db).err();
                    let named = matches!(&error, Some(DbError::Corrupt { table: of, column: named, .. })
                        if of == table && *named == column);
                    assert!(named, "{table}.{column} ({type_}) with {value:?}: {error:?}");
                    cases += 1;
                }
            }
        }
    }
    let known = ["log", "collections", "entries"];
    assert!(known.iter().all(|table| tables.iter().any(|found| found == table)));
    // Every column is either read with its type, or listed among those that no function returns.
    let every: BTreeSet<String> = tables
        .iter()
        .flat_map(|table| {
            columns(&lenient(), table).into_iter().map(move |column| format!("{table}.{column}"))
        })
        .collect();
    let unread: BTreeSet<String> = every.difference(&seen).cloned().collect();
    let listed: BTreeSet<String> = UNREAD.iter().map(|column| (*column).to_owned()).collect();
    assert_eq!(unread, listed);
    assert!(cases >= 300, "{cases} cases");
}

#[test]
fn an_unreadable_value_says_where_it_is_and_what_to_do() {
    let db = lenient();
    let types = readers().into_iter().filter(|reader| reader.table == "orders");
    let types =
        types.flat_map(|reader| reader.fields).map(|(name, type_)| (name.to_owned(), type_)).collect();
    fill(&db, "orders", &types);
    db.execute("UPDATE orders SET state = 'lost'", []).unwrap();
    let error = orders::at(&db, &Digest([1; 32])).unwrap_err();
    let key = "01".repeat(32);
    assert_eq!(
        error.to_string(),
        format!(
            "table orders, row id {key}: column state holds what it cannot; run `exhibit-server fsck`, then recreate the \
             database with `exhibit-server rebuild`"
        )
    );
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(cause, "not a state of an order that this version knows");
}

/// The words of a table's CHECK on its column `state`, in the schema of a fresh database.
fn checked_words(db: &Db, table: &'static str) -> BTreeSet<String> {
    let sql: String = db
        .read(|reader| {
            let sql = "SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?1";
            Ok::<_, DbError>(reader.query_row(sql, [table], |row| row.get(0))?)
        })
        .unwrap();
    let (_, list) = sql.split_once("CHECK (state IN (").unwrap();
    let (list, _) = list.split_once(')').unwrap();
    list.split(", ").map(|word| word.trim_matches('\'').to_owned()).collect()
}

#[test]
fn each_check_of_a_state_lists_the_states_that_are_recorded() {
    let (_place, db) = fresh();
    let words = |states: &[&str]| states.iter().map(|word| (*word).to_owned()).collect::<BTreeSet<_>>();
    let derived = [OrderState::Running, OrderState::Done, OrderState::Expired];
    let recorded = OrderState::ALL.iter().filter(|state| !derived.contains(state));
    assert_eq!(
        checked_words(&db, "orders"),
        words(&recorded.map(|state| state.as_str()).collect::<Vec<_>>())
    );
    let live = [AttemptState::Waiting, AttemptState::Sent];
    let recorded = AttemptState::ALL.iter().filter(|state| !live.contains(state));
    assert_eq!(
        checked_words(&db, "attempts"),
        words(&recorded.map(|state| state.as_str()).collect::<Vec<_>>())
    );
    let all = CollectionState::ALL.iter().map(|state| state.as_str());
    assert_eq!(checked_words(&db, "collections"), words(&all.collect::<Vec<_>>()));
    let all = EndpointState::ALL.iter().map(|state| state.as_str());
    assert_eq!(checked_words(&db, "endpoints"), words(&all.collect::<Vec<_>>()));
    let all = IncidentState::ALL.iter().map(|state| state.as_str());
    assert_eq!(checked_words(&db, "incidents"), words(&all.collect::<Vec<_>>()));
}
