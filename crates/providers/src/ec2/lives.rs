//! New lives of volumes. Those that begin at the same time are written by one request: a life is a number, and most
//! volumes of a launch begin the same one.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use ideal_core::id::{Life, VolumeId};
use ideal_core::model;

use super::Ec2;
use super::marks::AT_ONCE;
use super::tags::{self, Written};
use super::together::Line;
use crate::{Answer, ProviderError};

type Answered = Result<Answer, ProviderError>;

/// Volumes that wait for a life to be written on them.
pub(super) type Lives = Line<(VolumeId, Life), Answered>;

/// A volume that may begin a life: who asked, which it is, and whether it is marked as retired.
type May = (u64, VolumeId, bool);

impl Ec2 {
    /// Writes a new life on a volume that is detached.
    pub(super) async fn new_life(&self, id: &VolumeId, life: Life) -> Answered {
        let written = self.lives.join((id.clone(), life), |asked| self.begin_lives(asked)).await;
        written.unwrap_or_else(|| Err(ProviderError::retry("its life was not written")))
    }

    /// Reads each of them afresh, and writes the life of the first on all that may begin the same.
    async fn begin_lives(&self, asked: Vec<(u64, (VolumeId, Life))>) -> Vec<(u64, Answered)> {
        let Some(life) = asked.first().map(|(_, (_, life))| *life) else { return Vec::new() };
        let mut ids = BTreeSet::new();
        let mut own = |id: &VolumeId| ids.len() < AT_ONCE && ids.insert(id.clone());
        let same: Vec<(u64, VolumeId)> = asked
            .into_iter()
            .filter(|(_, (id, of))| *of == life && own(id))
            .map(|(number, (id, _))| (number, id))
            .collect();
        let checked = join_all(same.iter().map(|(_, id)| self.may_begin(id, life))).await;
        let (mut answers, mut may) = (Vec::new(), Vec::new());
        for ((number, id), checked) in same.into_iter().zip(checked) {
            match checked {
                Ok(marked) => may.push((number, id, marked)),
                Err(error) => answers.push((number, Err(error))),
            }
        }
        match self.write_life(&may, life).await {
            // One that went away meanwhile is refused with all others.
            Err(ProviderError::Refused { .. }) if may.len() > 1 => {
                for one in may {
                    let number = one.0;
                    answers.push((number, self.write_life(&[one], life).await));
                }
            }
            written => answers.extend(may.into_iter().map(|(number, ..)| (number, written.clone()))),
        }
        answers
    }

    /// Whether a volume may begin a life; if so, whether it is marked as retired.
    async fn may_begin(&self, id: &VolumeId, life: Life) -> Result<bool, ProviderError> {
        let mut volume = self.volume(id).await?;
        let marked = volume.retired.is_some();
        model::new_life(&mut volume, life).map_err(ProviderError::refused)?;
        Ok(marked)
    }

    async fn write_life(&self, on: &[May], life: Life) -> Answered {
        let ids: Vec<&str> = on.iter().map(|(_, id, _)| id.as_str()).collect();
        let marked: Vec<&str> =
            on.iter().filter(|(_, _, marked)| *marked).map(|(_, id, _)| id.as_str()).collect();
        // The mark first: a policy that asks for a mark before it deletes does not read lives.
        self.unmark(&marked, &[tags::RETIRED.to_owned()]).await?;
        self.mark(&ids, &Written::from([(tags::LIFE.to_owned(), life.to_string())])).await?;
        Ok(Answer::Accepted)
    }
}
