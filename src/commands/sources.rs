//! Commands that make a collection of several others: SINTERSTORE, ZUNION, GEOSEARCHSTORE, ... Their destination is
//! the first key; the keys behind it are the sources.

use crate::keyspace::{EventClass, KeyspaceError, NewCollection, Update, View};

/// Position of the destination in an [`Update`].
pub(super) const DESTINATION: usize = 0;
/// Position of the only source, where there is one.
pub(super) const SOURCE: usize = 1;

/// Which of several sources exist, up to the first one that `is_source` refuses: Redis does not look up those behind
/// it.
pub(super) fn lookups(views: &[Option<View<'_>>], is_source: fn(View<'_>) -> bool) -> Vec<bool> {
    let is_wrong = |view: &Option<View<'_>>| view.is_some_and(|view| !is_source(view));
    let wrong = views.iter().position(is_wrong);
    let looked_up = wrong.map_or(views.len(), |at| at + 1);
    views[..looked_up].iter().map(Option::is_some).collect()
}

/// The values of the sources.
pub(super) fn views<'u>(keys: &'u Update<'_>) -> Vec<Option<View<'u>>> {
    (SOURCE..keys.count()).map(|i| keys.view(i)).collect()
}

/// Looks up the sources as [`lookups`] does, and emits the events of missing ones.
pub(super) fn look_up(keys: &mut Update<'_>, is_source: fn(View<'_>) -> bool) -> Vec<bool> {
    let found = lookups(&views(keys), is_source);
    for i in (0..found.len()).filter(|&i| !found[i]) {
        keys.event(SOURCE + i, EventClass::KEY_MISS, "keymiss");
    }
    found
}

/// Puts a new collection under the destination, for which it was built, and emits `event`. A collection
/// without elements removes the destination instead. Returns the number of elements.
pub(super) fn store<'a>(
    keys: &mut Update<'a>,
    new: NewCollection<'a>,
    class: EventClass,
    event: &'static str,
) -> Result<usize, KeyspaceError> {
    let len = new.len();
    let was = keys.info(DESTINATION).is_some();
    keys.replace(new, None)?;
    if len > 0 {
        keys.event(DESTINATION, class, event);
    } else if was {
        keys.event(DESTINATION, EventClass::GENERIC, "del");
    }
    Ok(len)
}
