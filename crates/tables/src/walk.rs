//! All rows of an input in order, each with what its request is called.
use crate::{
    Error, Files, Ids, Options, Pick, Reader, Rows,
    ids::Place,
    pick::{Lowest, Picked},
    read,
};

/// Rows that were read at once, and which of them are taken.
pub struct Piece {
    pub rows: Rows,
    /// Which of the input's files they are of.
    pub file: usize,
    pub taken: Vec<Taken>,
}

pub struct Taken {
    /// Where it stands in the piece.
    pub at: usize,
    /// Where it stands in its file, from 1.
    pub number: u64,
    pub id: String,
    /// Why it has no id of its own.
    pub bad: Option<String>,
}

pub struct Walk {
    files: Files,
    ids: Ids,
    picked: Picked,
    options: Options,
    /// The next one.
    file: usize,
    open: Option<Reader>,
    /// Rows read of the open file, and of all.
    number: u64,
    total: u64,
}

impl Walk {
    /// `first` is the first file, where it is open already.
    pub fn new(files: Files, ids: Ids, picked: Picked, options: Options, first: Option<Reader>) -> Self {
        let file = usize::from(first.is_some());
        Self { files, ids, picked, options, file, open: first, number: 0, total: 0 }
    }

    /// Decides a pick: a sample takes a pass over the input.
    pub fn pick(pick: Pick, files: &Files, ids: &Ids, options: &Options) -> Result<Picked, Error> {
        let count = match pick {
            Pick::All => return Ok(Picked::All),
            Pick::First(rows) => return Ok(Picked::First(rows)),
            Pick::Sample(count) => count,
        };
        let mut lowest = Lowest::new(count);
        let options =
            Options { columns: Some(ids.column().map(str::to_owned).into_iter().collect()), ..options.clone() };
        for piece in Self::new(files.clone(), ids.clone(), Picked::All, options, None) {
            piece?.taken.iter().for_each(|taken| lowest.add(&taken.id));
        }
        Ok(lowest.picked())
    }

    fn taken(&mut self, rows: &Rows) -> Vec<Taken> {
        let name = self.files.all()[self.file - 1].name.as_str();
        let place = Place { name, file: self.file - 1 };
        let mut taken = Vec::new();
        for at in 0..rows.count() {
            self.number += 1;
            let (id, bad) = match self.ids.of(rows, at, &place, self.number) {
                Ok(id) => (id, None),
                Err((id, why)) => (id, Some(why)),
            };
            if self.picked.has(self.total, &id) {
                taken.push(Taken { at, number: self.number, id, bad });
            }
            self.total += 1;
        }
        taken
    }
}

impl Iterator for Walk {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.picked.is_past(self.total) {
                return None;
            }
            if let Some(rows) = self.open.as_mut().and_then(Iterator::next) {
                let taken = self.taken(&rows);
                return Some(Ok(Piece { rows, file: self.file - 1, taken }));
            }
            let next = self.files.all().get(self.file)?;
            self.file += 1;
            self.number = 0;
            match read::named(next, &self.options) {
                Ok(reader) => self.open = Some(reader),
                Err(error) => {
                    self.file = self.files.all().len();
                    self.open = None;
                    return Some(Err(error));
                }
            }
        }
    }
}
