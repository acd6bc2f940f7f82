//! The size of the radix tree in which Redis would keep the nodes. XINFO shows it.

use super::StreamId;

/// How many nodes a radix tree of these ids has, which ascend: one for each id, one for each fork, and one for each run
/// of bytes in between.
pub(super) fn radix_tree_nodes(ids: impl Iterator<Item = StreamId>) -> u64 {
    let key = |id: StreamId| (u128::from(id.ms) << 64 | u128::from(id.seq)).to_be_bytes();
    let mut previous: Option<[u8; KEY_BYTES]> = None;
    // The bytes before each fork on the way to the last id.
    let mut forks: Vec<usize> = Vec::new();
    let mut nodes = 0;
    // Counts the run of bytes between a fork, or the root, and what lies `until` bytes deep.
    let run = |above: Option<&usize>, until: usize| {
        u64::from(above.map_or(until > 0, |&fork| until > fork + 1))
    };
    for id in ids {
        let id = key(id);
        if let Some(previous) = previous {
            let shared = previous.iter().zip(&id).take_while(|(a, b)| a == b).count();
            // Whatever is deeper is complete.
            let mut deep = KEY_BYTES;
            while let Some(&fork) = forks.last()
                && fork >= shared
            {
                nodes += run(Some(&fork), deep);
                deep = fork;
                if fork == shared {
                    break;
                }
                forks.pop();
                nodes += 1;
            }
            if forks.last() != Some(&shared) {
                nodes += run(Some(&shared), deep);
                forks.push(shared);
            }
        }
        previous = Some(id);
        nodes += 1;
    }
    if previous.is_none() {
        return 1;
    }
    let mut deep = KEY_BYTES;
    while let Some(fork) = forks.pop() {
        nodes += run(Some(&fork), deep) + 1;
        deep = fork;
    }
    nodes + run(None, deep)
}

/// Bytes of an id as the key of a radix tree.
const KEY_BYTES: usize = 16;

/// So many ids are looked at to tell the size of a radix tree.
pub(super) const RADIX_IDS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// The counts are those that redis-server 7.0 shows for streams with one entry to a node.
    #[test]
    fn nodes_are_counted_as_redis_counts_them() {
        let nodes = |ids: &[(u64, u64)]| {
            radix_tree_nodes(ids.iter().map(|&(ms, seq)| StreamId::new(ms, seq)))
        };
        assert_eq!(nodes(&[]), 1);
        assert_eq!(nodes(&[(1, 1)]), 2);
        // A common run of bytes, a fork, and two leaves.
        assert_eq!(nodes(&[(1, 1), (1, 2)]), 4);
        // Two forks: by the milliseconds, and by the number.
        assert_eq!(nodes(&[(1, 1), (1, 2), (2, 1)]), 8);
    }
}
