//! The words of the check `order`: each order that holds, and how one ended that nobody obeyed.
//! Guarantee: an order that needs the approval of a second person and has none fails as soon as an entry says that it was obeyed.
//! Not here: the rules of orders and approvals ([`crate::fold`]).

use custody::State;
use custody::rule::RuleId;
use evidence::digest::Digest;
use evidence::entry::EntryType;

use crate::entries::Entries;
use crate::report::Report;

/// Reports all orders that the chain names; each is a check of its own in the report.
pub(crate) fn check(entries: &Entries, state: &State, report: &mut Report) {
    let issued =
        entries.incident.iter().filter(|proven| proven.entry.envelope.type_ == EntryType::OrderIssued);
    for proven in issued {
        let id = proven.entry.envelope.event;
        // An order that broke a rule is in the report. One that a partial production leaves out is not.
        let Some(order) = state.order(&id) else {
            continue;
        };
        let says = format!("issued by {}, {} targets", order.issuer, order.targets_count);
        let subject = id.to_string();
        if order.is_in_force {
            report.ok("order", &subject, says);
        } else if was_obeyed(&id, entries) {
            report.failed(
                "order",
                &subject,
                format!(
                    "{}: was obeyed, but needs the approval of a second person and has none",
                    RuleId::Order22
                ),
            );
        } else {
            let end = order.ended.map_or_else(|| "not approved".to_owned(), |end| end.to_string());
            report.ok("order", &subject, format!("{says}; {end}: nothing was collected under it"));
        }
    }
}

/// True if an endpoint began a collection under the order. If the entry names another order than the endpoint, `delegation` fails.
fn was_obeyed(id: &Digest, entries: &Entries) -> bool {
    let id = id.to_string();
    entries.incident.iter().any(|proven| {
        proven.entry.envelope.type_ == EntryType::CollectionStarted
            && proven.reference("order") == Some(id.as_str())
    })
}
