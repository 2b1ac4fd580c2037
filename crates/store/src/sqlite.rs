//! The journal in one SQLite file: write-ahead log, `synchronous=FULL`, a checksum chain over all rows.
//!
//! The chain: each row's sum is BLAKE3 of the sum before it, its number, time, epoch and text. Loading compares
//! the row that the checkpoint was made at with the sum kept there, and checks every row after it: a changed,
//! missing or swapped one is found. Rows before the checkpoint are not read then; `verify` checks all rows.

use std::cell::RefCell;
use std::fs::File;
use std::path::{Path, PathBuf};

use ideal_core::id::Epoch;
use ideal_core::journal::{Record, View};
use ideal_core::time::Time;
use rusqlite::{Connection, OpenFlags, OptionalExtension, params};

use crate::{Entry, Journal, JournalError, Wish};

const VERSION: i64 = 1;

/// A reader that opens or closes the file holds it for a moment: the writer waits for it, and the other way round.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

const SCHEMA: &str = "
create table if not exists meta (key text primary key, value text not null) strict;
create table if not exists records (
  seq integer primary key, at integer not null, epoch integer not null, body text not null, sum blob not null
) strict;
create table if not exists lease (
  one integer primary key check (one = 1), epoch integer not null, holder text not null, until integer not null
) strict;
create table if not exists checkpoint (
  one integer primary key check (one = 1), seq integer not null, sum blob not null, view text not null, own blob not null
) strict;
";

/// The journal in one SQLite file, or in memory.
#[derive(Debug)]
pub struct Sqlite {
    connection: RefCell<Connection>,
    name: String,
    /// The number and sum of the last row.
    last: RefCell<(u64, [u8; 32])>,
    /// Held for as long as this process may write.
    _lock: Option<File>,
}

impl Sqlite {
    /// A journal that is gone with the process: for tests and simulations. `name` stands for the store.
    pub fn in_memory(name: &str) -> Result<Sqlite, JournalError> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch("pragma journal_mode=memory; pragma synchronous=off;")?;
        Sqlite::prepare(connection, Some(name), None)
    }

    /// Opens or makes the journal in a folder, for writing. Refused while another process has it.
    pub fn open(folder: &Path) -> Result<Sqlite, JournalError> {
        std::fs::create_dir_all(folder)?;
        let lock = File::options().create(true).truncate(false).write(true).open(folder.join("lock"))?;
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Err(JournalError::Busy),
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        let connection = Connection::open(Sqlite::file(folder))?;
        connection.busy_timeout(PATIENCE)?;
        connection.execute_batch("pragma journal_mode=wal; pragma synchronous=full;")?;
        Sqlite::prepare(connection, None, Some(lock))
    }

    /// Opens the journal in a folder for reading only. None: there is none.
    pub fn open_to_read(folder: &Path) -> Result<Option<Sqlite>, JournalError> {
        let file = Sqlite::file(folder);
        if !file.exists() {
            return Ok(None);
        }
        // Write access is asked for because a write-ahead log left by a crash must be replayed even to read.
        let connection = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(PATIENCE)?;
        let version: i64 = connection.query_row("pragma user_version", [], |row| row.get(0))?;
        // Somebody is about to make it: for a reader there is none yet.
        if version == 0 {
            return Ok(None);
        }
        Sqlite::prepare(connection, None, None).map(Some)
    }

    /// The file of the journal in a folder.
    pub fn file(folder: &Path) -> PathBuf {
        folder.join("journal.sqlite")
    }

    fn prepare(
        mut connection: Connection,
        name: Option<&str>,
        lock: Option<File>,
    ) -> Result<Sqlite, JournalError> {
        let version: i64 = connection.query_row("pragma user_version", [], |row| row.get(0))?;
        if version > VERSION {
            return Err(JournalError::TooNew { found: version, known: VERSION });
        }
        if version == 0 {
            // In one piece: a reader sees an empty file or a whole store, and so does whoever comes after a crash.
            let name = name.map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned);
            let transaction = connection.transaction()?;
            transaction.execute_batch(SCHEMA)?;
            transaction.execute("insert into meta (key, value) values ('name', ?1)", [&name])?;
            transaction.pragma_update(None, "user_version", VERSION)?;
            transaction.commit()?;
        }
        let name = connection.query_row("select value from meta where key = 'name'", [], |row| row.get(0))?;
        let last = connection
            .query_row("select seq, sum from records order by seq desc limit 1", [], |row| {
                Ok((row.get::<_, u64>(0)?, row.get::<_, [u8; 32]>(1)?))
            })
            .optional()?
            .unwrap_or_default();
        Ok(Sqlite { connection: RefCell::new(connection), name, last: RefCell::new(last), _lock: lock })
    }

    /// Reads every row and compares every sum: for `ideal doctor`.
    pub fn verify(&self) -> Result<u64, JournalError> {
        let connection = self.connection.borrow();
        let verdict: String = connection.query_row("pragma integrity_check", [], |row| row.get(0))?;
        if verdict != "ok" {
            return Err(JournalError::Damaged { why: verdict });
        }
        let mut chain = [0; 32];
        let mut count = 0;
        each_row(&connection, 0, |row| {
            chain = row.checked(&chain)?;
            count += 1;
            Ok(())
        })?;
        Ok(count)
    }

    fn holder(connection: &Connection) -> Result<Option<(Epoch, String, Time)>, JournalError> {
        let row = connection.query_row("select epoch, holder, until from lease", [], |row| {
            Ok((row.get::<_, u64>(0)?, row.get::<_, String>(1)?, Time(row.get(2)?)))
        });
        Ok(row.optional()?)
    }

    fn held(connection: &Connection, epoch: Epoch) -> Result<(), JournalError> {
        match Sqlite::holder(connection)? {
            Some((held, _, _)) if held == epoch => Ok(()),
            Some((held, holder, _)) => Err(JournalError::Lost { mine: epoch, holder, epoch: held }),
            None => Err(JournalError::Lost { mine: epoch, holder: "nobody".to_owned(), epoch: 0 }),
        }
    }
}

struct Row {
    seq: u64,
    at: u64,
    epoch: u64,
    body: String,
    sum: [u8; 32],
}

impl Row {
    /// The row's sum, if it follows from the one before.
    fn checked(&self, chain: &[u8; 32]) -> Result<[u8; 32], JournalError> {
        let sum = sum(chain, self.seq, self.at, self.epoch, &self.body);
        if sum == self.sum {
            return Ok(sum);
        }
        Err(JournalError::Damaged { why: format!("row {} does not match its checksum", self.seq) })
    }
}

fn sum(chain: &[u8; 32], seq: u64, at: u64, epoch: u64, body: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(chain).update(&seq.to_le_bytes()).update(&at.to_le_bytes()).update(&epoch.to_le_bytes());
    hasher.update(body.as_bytes());
    *hasher.finalize().as_bytes()
}

fn each_row(
    connection: &Connection,
    after: u64,
    mut each: impl FnMut(Row) -> Result<(), JournalError>,
) -> Result<(), JournalError> {
    let mut statement = connection
        .prepare_cached("select seq, at, epoch, body, sum from records where seq > ?1 order by seq")?;
    let mut rows = statement.query([after])?;
    while let Some(row) = rows.next()? {
        each(Row {
            seq: row.get(0)?,
            at: row.get(1)?,
            epoch: row.get(2)?,
            body: row.get(3)?,
            sum: row.get(4)?,
        })?;
    }
    Ok(())
}

/// Whether the row that a checkpoint was made at is still the one it was. If not, rows are missing.
fn follows(connection: &Connection, at: u64, sum: &[u8; 32]) -> Result<(), JournalError> {
    let there: Option<[u8; 32]> =
        connection.query_row("select sum from records where seq = ?1", [at], |row| row.get(0)).optional()?;
    match there {
        Some(there) if there == *sum => Ok(()),
        Some(_) => Err(JournalError::Damaged {
            why: format!("row {at} is not the one that the checkpoint was made at"),
        }),
        // Made when there was no row yet.
        None if at == 0 => Ok(()),
        None => Err(JournalError::Damaged {
            why: format!("row {at}, which the checkpoint was made at, is missing"),
        }),
    }
}

impl Journal for Sqlite {
    fn name(&self) -> &str {
        &self.name
    }

    fn load(&self) -> Result<View, JournalError> {
        let connection = self.connection.borrow();
        let kept: Option<(u64, [u8; 32], String, [u8; 32])> = connection
            .query_row("select seq, sum, view, own from checkpoint", [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .optional()?;
        let (mut seq, mut chain, mut view) = (0, [0; 32], View::default());
        // A checkpoint that does not match its sum, or that is not understood, is only a lost short cut: all rows
        // are still there.
        if let Some((at, sum, text, own)) = kept
            && *blake3::hash(text.as_bytes()).as_bytes() == own
        {
            follows(&connection, at, &sum)?;
            if let Ok(known) = serde_json::from_str(&text) {
                (seq, chain, view) = (at, sum, known);
            }
        }
        each_row(&connection, seq, |row| {
            chain = row.checked(&chain)?;
            let record: Record = serde_json::from_str(&row.body)?;
            view.take(Time(row.at), &record);
            Ok(())
        })?;
        Ok(view)
    }

    fn append(&self, epoch: Epoch, at: Time, records: &[Record]) -> Result<(), JournalError> {
        let mut connection = self.connection.borrow_mut();
        let transaction = connection.transaction()?;
        Sqlite::held(&transaction, epoch)?;
        let (mut seq, mut chain) = *self.last.borrow();
        {
            let mut insert = transaction.prepare_cached(
                "insert into records (seq, at, epoch, body, sum) values (?1, ?2, ?3, ?4, ?5)",
            )?;
            for record in records {
                let body = serde_json::to_string(record)?;
                seq += 1;
                chain = sum(&chain, seq, at.0, epoch, &body);
                insert.execute(params![seq, at.0, epoch, body, chain])?;
            }
        }
        transaction.commit()?;
        *self.last.borrow_mut() = (seq, chain);
        Ok(())
    }

    fn check(&self, epoch: Epoch) -> Result<(), JournalError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare_cached("select epoch from lease")?;
        let held: Option<u64> = statement.query_row([], |row| row.get(0)).optional()?;
        if held == Some(epoch) { Ok(()) } else { Sqlite::held(&connection, epoch) }
    }

    fn take(&self, wish: &Wish) -> Result<Epoch, JournalError> {
        let mut connection = self.connection.borrow_mut();
        let transaction = connection.transaction()?;
        let known = Sqlite::holder(&transaction)?;
        if let Some((epoch, holder, until)) = &known
            && !wish.force
            && *until > wish.now
        {
            return Err(JournalError::Held { holder: holder.clone(), epoch: *epoch, until: *until });
        }
        let epoch = 1 + wish.above.max(known.map_or(0, |(epoch, _, _)| epoch));
        transaction.execute(
            "insert into lease (one, epoch, holder, until) values (1, ?1, ?2, ?3)
             on conflict (one) do update set epoch = ?1, holder = ?2, until = ?3",
            params![epoch, wish.holder, wish.until.0],
        )?;
        transaction.commit()?;
        Ok(epoch)
    }

    fn renew(&self, epoch: Epoch, until: Time) -> Result<(), JournalError> {
        let connection = self.connection.borrow();
        Sqlite::held(&connection, epoch)?;
        connection.execute("update lease set until = ?1", [until.0])?;
        Ok(())
    }

    fn release(&self, epoch: Epoch) -> Result<(), JournalError> {
        let connection = self.connection.borrow();
        Sqlite::held(&connection, epoch)?;
        connection.execute("update lease set until = 0", [])?;
        Ok(())
    }

    fn checkpoint(&self, view: &View) -> Result<(), JournalError> {
        let text = serde_json::to_string(view)?;
        let own = *blake3::hash(text.as_bytes()).as_bytes();
        let (seq, chain) = *self.last.borrow();
        self.connection.borrow().execute(
            "insert into checkpoint (one, seq, sum, view, own) values (1, ?1, ?2, ?3, ?4)
             on conflict (one) do update set seq = ?1, sum = ?2, view = ?3, own = ?4",
            params![seq, chain, text, own],
        )?;
        Ok(())
    }

    fn history(&self, after: u64, limit: u64) -> Result<Vec<Entry>, JournalError> {
        let connection = self.connection.borrow();
        let mut statement = connection.prepare_cached(
            "select seq, at, epoch, body from
               (select seq, at, epoch, body from records where seq > ?1 order by seq desc limit ?2) order by seq",
        )?;
        let mut rows = statement.query(params![after, limit])?;
        let mut entries = Vec::new();
        while let Some(row) = rows.next()? {
            let body: String = row.get(3)?;
            entries.push(Entry {
                seq: row.get(0)?,
                at: Time(row.get(1)?),
                epoch: row.get(2)?,
                record: serde_json::from_str(&body)?,
            });
        }
        Ok(entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract;

    #[test]
    fn keeps_the_contract_in_memory() {
        contract::run(&|| Box::new(Sqlite::in_memory("test").unwrap()));
    }

    #[test]
    fn keeps_the_contract_on_disk_and_across_openings() {
        let home = tempfile::tempdir().unwrap();
        let count = std::cell::Cell::new(0);
        contract::run(&|| {
            count.set(count.get() + 1);
            Box::new(Sqlite::open(&home.path().join(count.get().to_string())).unwrap())
        });
        let folder = home.path().join("again");
        let record = Record::RunClosed { run: "r-1".into(), outcome: "done".into() };
        let first = Sqlite::open(&folder).unwrap();
        assert!(matches!(Sqlite::open(&folder), Err(JournalError::Busy)), "one writer at a time");
        let wish = Wish { holder: "a".into(), now: Time(1), until: Time(2), above: 0, force: false };
        let epoch = first.take(&wish).unwrap();
        first.append(epoch, Time(1), std::slice::from_ref(&record)).unwrap();
        let name = first.name().to_owned();
        drop(first);
        let second = Sqlite::open(&folder).unwrap();
        assert_eq!((second.name(), second.history(0, 9).unwrap()[0].record.clone()), (name.as_str(), record));
    }

    #[test]
    fn a_changed_row_is_found() {
        let home = tempfile::tempdir().unwrap();
        let store = Sqlite::open(home.path()).unwrap();
        let wish = Wish { holder: "a".into(), now: Time(1), until: Time(2), above: 0, force: false };
        let epoch = store.take(&wish).unwrap();
        for n in 0..5 {
            let record = Record::RunClosed { run: format!("r-{n}"), outcome: "done".into() };
            store.append(epoch, Time(n), &[record]).unwrap();
        }
        assert_eq!(store.verify().unwrap(), 5);
        store
            .connection
            .borrow()
            .execute("update records set body = replace(body, 'done', 'gone') where seq = 3", [])
            .unwrap();
        let error = store.load().unwrap_err().to_string();
        assert_eq!(error, "the store is damaged: row 3 does not match its checksum");
        assert!(store.verify().is_err());
    }

    fn with_checkpoint() -> (Sqlite, View) {
        let store = Sqlite::in_memory("test").unwrap();
        store.checkpoint(&store.load().unwrap()).unwrap();
        assert_eq!(store.load().unwrap(), View::default(), "a checkpoint of no rows");
        let wish = Wish { holder: "a".into(), now: Time(1), until: Time(2), above: 0, force: false };
        let epoch = store.take(&wish).unwrap();
        for n in 0..5 {
            let record = Record::RunOpened { run: format!("r-{n}"), what: String::new(), by: String::new() };
            store.append(epoch, Time(n), &[record]).unwrap();
        }
        let view = store.load().unwrap();
        store.checkpoint(&view).unwrap();
        (store, view)
    }

    #[test]
    fn a_checkpoint_that_is_not_understood_is_only_a_lost_short_cut() {
        let (store, view) = with_checkpoint();
        for text in ["{", "[\"of another version\"]"] {
            let own = *blake3::hash(text.as_bytes()).as_bytes();
            let changed = store
                .connection
                .borrow()
                .execute("update checkpoint set view = ?1, own = ?2", params![text, own])
                .unwrap();
            assert_eq!((changed, store.load().unwrap()), (1, view.clone()));
        }
    }

    #[test]
    fn rows_missing_before_a_checkpoint_are_found() {
        let (store, _) = with_checkpoint();
        store.connection.borrow().execute("delete from records where seq > 3", []).unwrap();
        let error = store.load().unwrap_err().to_string();
        assert_eq!(error, "the store is damaged: row 5, which the checkpoint was made at, is missing");
    }

    #[test]
    fn another_row_in_the_place_of_a_checkpoint_is_found() {
        let (store, _) = with_checkpoint();
        store
            .connection
            .borrow()
            .execute("update records set sum = (select sum from records where seq = 4) where seq = 5", [])
            .unwrap();
        let error = store.load().unwrap_err().to_string();
        assert_eq!(error, "the store is damaged: row 5 is not the one that the checkpoint was made at");
    }
}
