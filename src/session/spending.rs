//! Inference budgets: what running a statement costs its caller, taken before it is sent.
//!
//! Each execution counts, not each text: a Query, a Bind, an EXECUTE. What is to be known of filters beside their number
//! is told from here, where each of them passes once: the access log is told from here.

use std::collections::HashMap;
use std::sync::Arc;

use super::conversation::Conversation;
use super::expect::Expect;
use super::io::{Context, Observation, Output};
use super::outbox::Outbox;
use super::statements::{Effect, Watch, cut};
use crate::access_log::{Endpoint, Filtered, Record, RevealedColumn};
use crate::catalog::Name;
use crate::plan::budget::{Charge, ColumnNames, Given, Look};
use crate::plan::guard::Stop;
use crate::plan::{Refusal, Verdict};
use crate::policy::{Budget, Counted};
use crate::sql::NotUnderstood;
use crate::wire::Format;
use crate::wire::frontend::BindParameters;

/// How many EXECUTEs of EXECUTEs are followed.
const NESTING_MAX: usize = 16;

/// What executions take from budgets, by column.
#[derive(Default)]
pub(super) struct Costs {
    filters: HashMap<ColumnNames, Cost>,
    /// Whether something is shown in clear.
    reveals: bool,
}

/// What is taken for a column.
struct Cost {
    look: Look,
    times: usize,
    /// What the application says of the first statement that looks at it.
    endpoint: Option<Arc<Endpoint>>,
}

impl Costs {
    fn of(&mut self, column: ColumnNames, look: Look, endpoint: Option<Arc<Endpoint>>) -> &mut usize {
        &mut self.filters.entry(column).or_insert_with(|| Cost { look, times: 0, endpoint }).times
    }

    /// Both are taken.
    fn add(&mut self, other: Self) {
        self.reveals |= other.reveals;
        for (column, Cost { look, times, endpoint }) in other.filters {
            let known = self.of(column, look, endpoint);
            *known = known.saturating_add(times);
        }
    }

    /// One or the other is taken: which is not known.
    fn or(&mut self, other: Self) {
        self.reveals |= other.reveals;
        for (column, Cost { look, times, endpoint }) in other.filters {
            let known = self.of(column, look, endpoint);
            *known = times.max(*known);
        }
    }
}

impl Conversation {
    /// Take what the statements of a Query cost; the refusal if that is not covered.
    pub(super) fn spend_query(
        &mut self,
        verdicts: &[(Verdict, Effect)],
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Option<Arc<Refusal>> {
        if let Some(refusal) = self.locked_out(verdicts.iter().map(|(_, effect)| effect), context) {
            return Some(refused(refusal, out));
        }
        let mut costs = Costs::default();
        for (verdict, effect) in verdicts {
            match self.cost(verdict, effect, &|_| Given::NULL, verdicts, context, &[]) {
                Ok(cost) => costs.add(cost),
                Err(refusal) => return Some(refused(refusal, out)),
            }
        }
        self.spend(costs, context, out)
    }

    /// Take what a portal costs that runs one of these; the refusal if that is not covered. `body`: the Bind's, all of
    /// it if one of them [needs its parameters](needs_parameters).
    pub(super) fn spend_bind<'v>(
        &mut self,
        candidates: impl Iterator<Item = (&'v Verdict, &'v Effect)> + Clone,
        body: &[u8],
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Option<Arc<Refusal>> {
        if let Some(refusal) = self.locked_out(candidates.clone().map(|(_, effect)| effect), context) {
            return Some(refused(refusal, out));
        }
        let mut costs = Costs::default();
        let given = |number| {
            let parameter = BindParameters::decode(body).ok().and_then(|parameters| parameters.parameter(number));
            match parameter {
                Some((Format::Text, Some(value))) => Given::text(value),
                Some((Format::Binary, Some(value))) => Given::binary(value),
                Some((_, None)) | None => Given::NULL,
            }
        };
        for (verdict, effect) in candidates {
            match self.cost(verdict, effect, &given, &[], context, &[]) {
                Ok(cost) => costs.or(cost),
                Err(refusal) => return Some(refused(refusal, out)),
            }
        }
        self.spend(costs, context, out)
    }

    /// The end user that is spoken for is locked out, and these are not only what hands the session on to the next one.
    fn locked_out<'v>(&self, mut effects: impl Iterator<Item = &'v Effect>, context: &Context<'_>) -> Option<Refusal> {
        let actor = Arc::clone(&self.actor()?.name);
        let served = effects.any(|effect| match effect {
            Effect::None
            | Effect::ChangesCatalog { .. }
            | Effect::Declares(..)
            | Effect::Prepares(..)
            | Effect::Executes(..) => true,
            Effect::EndsTransaction
            | Effect::Closes(_)
            | Effect::Deallocates(_)
            | Effect::Saves(_)
            | Effect::Releases(_)
            | Effect::Configures(_)
            | Effect::Configured(_)
            | Effect::RollsBackTo(_) => false,
        });
        served.then(|| context.guard.locked_out(self.user(), Some(&actor), self.client.ip())).flatten()
    }

    /// What running a statement costs. `beside`: the statements of the same message; `within`: the EXECUTEs around it.
    fn cost(
        &self,
        verdict: &Verdict,
        effect: &Effect,
        given: &dyn Fn(u32) -> Given,
        beside: &[(Verdict, Effect)],
        context: &Context<'_>,
        within: &[&Name],
    ) -> Result<Costs, Refusal> {
        let mut costs = Costs::default();
        match (verdict, effect) {
            // PREPARE runs nothing.
            (_, Effect::Prepares(..)) => {}
            (Verdict::Protect(protection), _) => {
                costs.reveals = protection.reveals;
                for look in protection.looks.iter() {
                    let charge = look.charge(given, context.snapshot.limits.equality_list_max)?;
                    let known = costs.of(look.column.clone(), look.clone(), protection.endpoint.clone());
                    *known = known.saturating_add(charge.times);
                }
            }
            (Verdict::Recall(_), Effect::Executes(name, arguments)) => {
                if within.contains(&name) {
                    // It runs itself until the server's stack is used up.
                    return Ok(costs);
                }
                if within.len() >= NESTING_MAX {
                    return Err(Refusal::not_understood(NotUnderstood::Construct("EXECUTE of so many EXECUTEs")));
                }
                let within: Vec<&Name> = within.iter().copied().chain([name]).collect();
                let argument = |number: u32| {
                    let position = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
                    position.and_then(|position| arguments.get(position)).copied().unwrap_or(Given::NULL)
                };
                let key = cut(name.as_str().as_bytes());
                let pending = self.replies.parsing(key).map(|prepared| (&prepared.verdict, &prepared.effect));
                let known = self.registry.statement(key).map(|known| (&known.verdict, &known.effect));
                for (verdict, effect) in pending.chain(known) {
                    costs.or(self.cost(verdict, effect, &argument, beside, context, &within)?);
                }
                // PREPARE in a Query that is not answered yet, or in this one: its verdict is that of what it prepares.
                let queries = self.replies.iter().filter_map(|expect| match expect {
                    Expect::Query(reply) => Some(reply.steps.iter().map(|step| (&step.verdict, &step.effect))),
                    _ => None,
                });
                let beside_it = beside.iter().map(|(verdict, effect)| (verdict, effect));
                for (verdict, effect) in queries.flatten().chain(beside_it) {
                    if matches!(effect, Effect::Prepares(prepares, ..) if prepares == name) {
                        costs.or(self.cost(verdict, &Effect::None, &argument, &[], context, &within)?);
                    }
                }
            }
            // FETCH, of a cursor that is there or that is declared beside it.
            (Verdict::Recall(name), _) => {
                let declared = beside
                    .iter()
                    .rfind(|(_, effect)| matches!(effect, Effect::Declares(declares, ..) if declares == name));
                costs.reveals = match declared {
                    Some((verdict, _)) => Watch::of(verdict).is_some_and(|watch| watch.reveals()),
                    None => self.registry.watch(name.as_str().as_bytes()).is_some_and(Watch::reveals),
                };
            }
            (Verdict::Pass | Verdict::RecallPlan(_) | Verdict::Refuse(_), _) => {}
        }
        Ok(costs)
    }

    /// Why a portal may not go on to show its rows; `None`: it may. What it shows first was looked at with its Bind, but for
    /// what has become of the access log since.
    pub(super) fn ends_at_execute(
        &mut self,
        portal: &[u8],
        context: &Context<'_>,
        out: &mut Outbox,
    ) -> Option<Arc<Refusal>> {
        let bound_anew =
            |expect: &Expect| matches!(expect, Expect::Bind { portal: bound, .. } if cut(bound) == cut(portal));
        if self.replies.iter().any(bound_anew) {
            return None;
        }
        let known = self.registry.portal(portal)?;
        let (reveals, goes_on) = (known.watch.reveals(), known.begun);
        match reveals && (goes_on || !context.snapshot.access_log_ready) {
            true => self.spend(Costs { reveals, ..Costs::default() }, context, out),
            false => None,
        }
    }

    fn spend(&mut self, costs: Costs, context: &Context<'_>, out: &mut Outbox) -> Option<Arc<Refusal>> {
        if costs.reveals {
            if !context.snapshot.access_log_ready {
                return Some(refused(Refusal::access_log(), out));
            }
            // Refused now it fails in the server, and a transaction goes on as the server has it; amid its result it would end the session.
            let watched = self.watched(context.snapshot);
            if let Err(stop) = context.guard.room(&watched) {
                return Some(stopped(&stop, out));
            }
        }
        if costs.filters.is_empty() {
            return None;
        }
        let costs: Vec<_> = costs.filters.into_values().collect();
        let charges: Vec<_> = costs.iter().map(|Cost { look, times, .. }| Charge { look, times: *times }).collect();
        if let Err(overdrawn) = context.budgets.spend(&self.payer(), &charges)
            && let Some(Cost { look, .. }) = costs.get(overdrawn.charge)
            && let Budget::Limited(allowance) = look.budget
        {
            return Some(refused(Refusal::budget(look, allowance, overdrawn.wait), out));
        }
        let times = |times: usize| u64::try_from(times).unwrap_or(u64::MAX);
        let all = costs.iter().fold(0_u64, |sum, cost| sum.saturating_add(times(cost.times)));
        let watched = self.watched(context.snapshot);
        if let Err(stop) = context.guard.take(&watched, Counted::InferenceProbes, all, all) {
            return Some(stopped(&stop, out));
        }
        for Cost { look, times: count, endpoint } in costs {
            let times = times(count);
            Self::observe(out, Observation::Filters(Arc::clone(&look.tag), times));
            let ColumnNames(schema, table, column) = look.column.clone();
            let column = RevealedColumn { schema, table, column, tag: Arc::clone(&look.tag) };
            let rule = Arc::clone(&look.rule);
            let filtered = Filtered { visit: self.visit(), column, rule, times, endpoint };
            out.push(Output::Note(Record::Filtered(filtered)));
        }
        None
    }
}

/// Whether the parameters of a Bind have to be known to say what it costs.
pub(super) fn needs_parameters(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Protect(protection) => {
            protection.looks.iter().any(|look| !look.arrays.is_empty() || !look.patterns.is_empty())
        }
        Verdict::Pass | Verdict::Recall(_) | Verdict::RecallPlan(_) | Verdict::Refuse(_) => false,
    }
}

fn stopped(stop: &Stop, out: &mut Outbox) -> Arc<Refusal> {
    if stop.ends_session() {
        out.push(Output::Stop(stop.clone()));
    }
    refused(Refusal::stopped(stop), out)
}

fn refused(refusal: Refusal, out: &mut Outbox) -> Arc<Refusal> {
    Conversation::observe(out, Observation::Refusal(refusal.reason));
    Arc::new(refusal)
}
