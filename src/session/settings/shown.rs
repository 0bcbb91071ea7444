//! `SHOW pgveil.reveal_status` and its like.

use std::sync::Arc;

use crate::session::conversation::Conversation;
use crate::session::io::Context;
use crate::session::standing::Reveal;

impl Conversation {
    /// The value of one of these settings, as `SHOW` shows it.
    pub(in crate::session) fn shown_setting(&mut self, name: &str, context: &Context<'_>) -> String {
        let now = context.authority.now();
        let caller = self.caller(context.snapshot);
        let roles = || -> Vec<Arc<str>> { context.snapshot.policy.names_of(&caller.roles).cloned().collect() };
        match name {
            "actor" => self.standing.actor().map(|actor| actor.name.to_string()).unwrap_or_default(),
            "reveal" => match &self.standing.reveal {
                Reveal::None => String::new(),
                Reveal::Waits(waits, _) => waits.terms.reason.to_string(),
                Reveal::Open(grant, _) => grant.grounds.reason.to_string(),
            },
            "reveal_status" => match &self.standing.reveal {
                Reveal::None => "off".to_owned(),
                Reveal::Waits(waits, _) => format!("{} waits for approval", waits.id),
                Reveal::Open(grant, _) => {
                    let left = grant.ends.saturating_sub(now.elapsed).as_secs();
                    let rows = grant.left().map_or_else(|| "all".to_owned(), |rows| rows.to_string());
                    let subject = grant.subject.as_ref().map(|subject| format!(", only {}", subject.text()));
                    format!(
                        "{} on: {left} s and {rows} rows left, tags {}{}",
                        grant.grounds.grant,
                        grant.tags,
                        subject.unwrap_or_default()
                    )
                }
            },
            "reveal_subject" => self.standing.next.subject.as_ref().map(|it| it.text().to_string()).unwrap_or_default(),
            "reveal_urgent" => if self.standing.next.urgent { "on" } else { "off" }.to_owned(),
            "reveal_requests" => context.authority.requests(&self.who(&caller), &roles()),
            "reveal_reviews" => context.authority.reviews(&self.who(&caller), &roles()),
            _ => String::new(),
        }
    }
}
