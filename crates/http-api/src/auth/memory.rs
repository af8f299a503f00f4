use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::Block;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// The memory in which hashes are computed, bounded for all of them together. A hash takes what an earlier one used: given back to the
/// allocator, it would stay in the arena of the thread that used it, and every further thread would take as much again.
pub(super) struct Memory {
    limit_kib: usize,
    free_kib: Arc<Semaphore>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    lent_kib: usize,
    /// Not lent: each has the size that it had for the hash before.
    idle: Vec<Vec<Block>>,
}

/// Memory for one hash, as long as it computes.
pub(super) struct Lent {
    blocks: Vec<Block>,
    memory: Arc<Memory>,
    /// Dropped last: whoever waits for it finds the blocks.
    _permit: OwnedSemaphorePermit,
}

impl Memory {
    pub(super) fn new(limit_kib: u32) -> Self {
        let free_kib = Arc::new(Semaphore::new(limit_kib as usize));
        Self { limit_kib: limit_kib as usize, free_kib, kept: Mutex::default() }
    }

    /// Waits until so much is free.
    pub(super) async fn lend(self: &Arc<Self>, kib: u32) -> Result<Lent, AcquireError> {
        let permit = Arc::clone(&self.free_kib).acquire_many_owned(kib).await?;
        Ok(Lent { blocks: self.kept().take(kib as usize, self.limit_kib), memory: Arc::clone(self), _permit: permit })
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn close(&self) {
        self.free_kib.close();
    }

    /// What is allocated, lent or not.
    #[cfg(test)]
    pub(super) fn held_kib(&self) -> usize {
        self.kept().held_kib()
    }
}

impl Kept {
    /// A block has one KiB.
    fn take(&mut self, kib: usize, limit_kib: usize) -> Vec<Block> {
        self.lent_kib += kib;
        if let Some(fitting) = self.idle.iter().position(|blocks| blocks.len() == kib) {
            return self.idle.swap_remove(fitting);
        }
        while self.held_kib() > limit_kib {
            self.idle.pop();
        }
        vec![Block::new(); kib]
    }

    fn held_kib(&self) -> usize {
        self.lent_kib + self.idle.iter().map(Vec::len).sum::<usize>()
    }
}

impl Lent {
    pub(super) fn blocks(&mut self) -> &mut [Block] {
        &mut self.blocks
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut kept = self.memory.kept();
        kept.lent_kib -= self.blocks.len();
        kept.idle.push(std::mem::take(&mut self.blocks));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_lent_again_is_the_same_memory() {
        let memory = Arc::new(Memory::new(64));
        let (first, second) = (memory.lend(16).await.unwrap(), memory.lend(16).await.unwrap());
        let places = [first.blocks.as_ptr(), second.blocks.as_ptr()];
        drop((first, second));
        for _ in 0..1_000 {
            let lent = memory.lend(16).await.unwrap();
            assert!(places.contains(&lent.blocks.as_ptr()));
        }
        assert_eq!(memory.held_kib(), 32);
    }

    #[tokio::test]
    async fn never_more_than_the_limit_is_held() {
        let memory = Arc::new(Memory::new(64));
        drop([memory.lend(20).await.unwrap(), memory.lend(20).await.unwrap(), memory.lend(20).await.unwrap()]);
        assert_eq!(memory.held_kib(), 60);
        // Other sizes take the place of what nobody uses.
        let (small, large) = (memory.lend(8).await.unwrap(), memory.lend(30).await.unwrap());
        assert_eq!(memory.held_kib(), 58);
        drop(small);
        drop(large);
        let all = memory.lend(64).await.unwrap();
        assert_eq!((memory.held_kib(), all.blocks.len()), (64, 64));
    }
}
