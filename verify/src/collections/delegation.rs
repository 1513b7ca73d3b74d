//! The results of earlier checks that the checks of a collection use.

use custody::collection::Collection;
use custody::order::Issued;
use evidence::disposal::Course;

use super::expected::Expected;
use crate::files::Files;
use crate::fold::Folded;

/// What is known of all collections.
pub(crate) struct Context<'a> {
    pub files: &'a Files<'a>,
    pub folded: &'a Folded,
    /// The disposal of the incident's evidence.
    pub course: &'a Course,
    /// True for a partial production.
    pub partial: bool,
}

/// A collection that began by the rules, and its order.
pub(super) struct Begun<'a> {
    pub(super) collection: &'a Collection,
    pub(super) order: &'a Issued,
}

/// The collection of these entries. `None` if its beginning broke a rule: then the report says so.
pub(super) fn begun<'a>(context: &Context<'a>, expected: &Expected) -> Option<Begun<'a>> {
    let state = &context.folded.state;
    let collection = state.collections().get(&expected.collection)?;
    let order = state.order(&collection.delegation.order)?;
    Some(Begun { collection, order })
}
