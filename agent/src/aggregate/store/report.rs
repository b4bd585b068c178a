//! From series to a report: in a fixed order, no two points with the same labels.

use std::cmp::Reverse;

use rustc_hash::FxHashMap;

use super::{IDLE, MOST_IDLE, OwnerId, Phase, ScopeId, SeriesKey, Store};
use crate::{
    aggregate::cell::Cell,
    export::{MetricReport, Point, Report, ResourceReport},
    metric::LabelSet,
    time::{Anchor, Mono, Wall},
};

/// A series that is due.
struct Row {
    /// Place of its scope in the report.
    scope: usize,
    key: SeriesKey,
    /// Labels as exported.
    labels: LabelSet,
    /// Whether it has been exported before.
    known: bool,
    owner: OwnerId,
}

impl Row {
    fn same_point(&self, other: &Self) -> bool {
        self.scope == other.scope
            && self.key.metric.name == other.key.metric.name
            && self.labels == other.labels
    }
}

impl Store {
    /// Everything up to now, and the end of what ends with it. Scopes without resource wait.
    pub fn report(&mut self, now: Anchor) -> Report {
        let scopes = self.named_scopes();
        let rows = self.rows(&scopes);
        let mut reports: Vec<(usize, Vec<MetricReport>)> = Vec::new();
        for same in rows.chunk_by(Row::same_point) {
            let Some((scope, metric)) = same.first().map(|row| (row.scope, row.key.metric)) else {
                continue;
            };
            let Some(point) = self.point(same, now) else { continue };
            if reports.last().is_none_or(|(last, _)| *last != scope) {
                reports.push((scope, Vec::new()));
            }
            let Some((_, metrics)) = reports.last_mut() else { continue };
            match metrics.last_mut() {
                Some(last) if last.metric.name == metric.name => last.points.push(point),
                _ => metrics.push(MetricReport { metric, points: vec![point] }),
            }
        }
        let mut resources = Vec::with_capacity(reports.len());
        for (place, metrics) in reports {
            let Some(scope) = scopes.get(place).and_then(|id| self.scopes.get_mut(id)) else {
                continue;
            };
            scope.exported = true;
            if let Some(named) = &scope.resource {
                resources.push(ResourceReport { resource: named.resource.clone(), metrics });
            }
        }
        self.bury(now.mono);
        self.last_report = now.mono;
        Report { at: now.wall, resources }
    }

    fn named_scopes(&self) -> Vec<ScopeId> {
        let named = |(id, scope): (&ScopeId, &super::Scope)| {
            scope.resource.as_ref().map(|named| (named.name.clone(), *id))
        };
        let mut scopes: Vec<_> = self.scopes.iter().filter_map(named).collect();
        scopes.sort_unstable();
        scopes.into_iter().map(|(_, id)| id).collect()
    }

    /// Every series of these scopes, in the order of the report; of several with the same labels the one
    /// that has been exported before comes first.
    fn rows(&self, scopes: &[ScopeId]) -> Vec<Row> {
        let places: FxHashMap<ScopeId, usize> =
            scopes.iter().enumerate().map(|(place, id)| (*id, place)).collect();
        let mut rows = Vec::with_capacity(self.len());
        for (id, owner) in self.owners.iter().filter(|(_, owner)| !owner.held) {
            let Some(scope) = places.get(&owner.scope).copied() else { continue };
            rows.extend(owner.series.iter().map(|(key, series)| Row {
                scope,
                key: key.clone(),
                labels: match (&series.exported, &owner.tag) {
                    (Some(labels), _) => labels.clone(),
                    (None, Some(tag)) => tag.label(&key.labels),
                    (None, None) => key.labels.clone(),
                },
                known: series.exported.is_some(),
                owner: *id,
            }));
        }
        rows.sort_unstable_by(|a, b| {
            let place =
                a.scope.cmp(&b.scope).then_with(|| a.key.metric.name.cmp(b.key.metric.name));
            place
                .then_with(|| a.labels.labels().cmp(b.labels.labels()))
                .then_with(|| (Reverse(a.known), a.owner).cmp(&(Reverse(b.known), b.owner)))
        });
        rows
    }

    /// The point of all series that have the same labels, as two processes have when the second got the
    /// pid of the first. What the others accumulated moves to the first one, and they begin anew.
    fn point(&mut self, same: &[Row], now: Anchor) -> Option<Point> {
        let (first, others) = same.split_first()?;
        let mut moved: Vec<Cell> = Vec::new();
        for row in others {
            let series = self.owners.get_mut(&row.owner).and_then(|o| o.series.get_mut(&row.key));
            if let Some(series) = series {
                let empty = Cell::new(row.key.metric, self.histogram);
                moved.push(std::mem::replace(&mut series.cell, empty));
                series.start.mono = now.mono;
            }
        }
        let owner = self.owners.get_mut(&first.owner)?;
        owner.exported = true;
        let series = owner.series.get_mut(&first.key)?;
        for cell in moved {
            series.cell.merge(cell);
        }
        series.exported = Some(first.labels.clone());
        Some(Point {
            labels: first.labels.clone(),
            start: series.start.wall(now),
            value: series.cell.point(first.key.metric.shape),
        })
    }

    /// Removes what has been exported for the last time.
    fn bury(&mut self, now: Mono) {
        let over = |phase| matches!(phase, Phase::Closing(until) if until <= now);
        let ended = self.owners.iter().filter(|(_, owner)| over(owner.phase));
        let ended: Vec<_> = ended.map(|(id, _)| *id).collect();
        for owner in ended {
            self.remove_owner(owner);
        }
        let mut idle: Vec<(Mono, ScopeId)> = Vec::new();
        let mut gone: Vec<ScopeId> = Vec::new();
        for (id, scope) in &self.scopes {
            match scope.idle_since {
                _ if scope.abandoned => gone.push(*id),
                Some(since) if scope.workloads == 0 && scope.resource.is_some() => {
                    idle.push((since, *id));
                }
                _ => {}
            }
        }
        idle.sort_unstable();
        let surplus = idle.len().saturating_sub(MOST_IDLE);
        for (place, (since, id)) in idle.into_iter().enumerate() {
            if place < surplus || now.since(since) >= IDLE {
                gone.push(id);
            }
        }
        for scope in gone {
            self.remove_scope(scope);
        }
    }
}

impl super::Start {
    /// The start as exported: never after `now`, even when the wall clock was set back.
    fn wall(&mut self, now: Anchor) -> Wall {
        match self.wall {
            Some(wall) if wall <= now.wall => wall,
            _ => *self.wall.insert(now.wall(self.mono).min(now.wall)),
        }
    }
}
