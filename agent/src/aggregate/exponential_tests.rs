//! Tests of the exponential histogram against a naive reference.

use super::*;
use crate::metric::BucketCounts;

/// Deterministic values over many magnitudes.
fn values(seed: u64, count: usize, octaves: f64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 11) as f64 / (1u64 << 53) as f64
    };
    (0..count).map(|_| ((next() - 0.5) * octaves).exp2()).collect()
}

fn histogram(values: &[f64]) -> ExponentialHistogram {
    let mut histogram = ExponentialHistogram::default();
    for value in values {
        histogram.observe(*value).unwrap();
    }
    histogram
}

/// Everything but the sum, whose rounding depends on the order.
fn exact(histogram: &ExponentialHistogram) -> ExponentialPoint {
    ExponentialPoint { sum: 0.0, ..trimmed(histogram.point()) }
}

fn trimmed(mut point: ExponentialPoint) -> ExponentialPoint {
    while point.counts.last() == Some(&0) {
        point.counts.pop();
    }
    let empty = point.counts.iter().take_while(|count| **count == 0).count();
    point.counts.drain(..empty);
    point.offset += empty as i32;
    point
}

#[track_caller]
fn check_quantiles(values: &[f64]) {
    let point = histogram(values).point();
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let base = f64::from(-point.scale).exp2().exp2();
    for percent in 1..=100 {
        let q = f64::from(percent) / 100.0;
        let rank = ((q * sorted.len() as f64).ceil() as usize).max(1);
        let (found, expected) = (point.quantile(q).unwrap(), sorted[rank - 1]);
        assert!(
            found <= expected * base * (1.0 + 1e-9) && found * base * (1.0 + 1e-9) >= expected,
            "p{percent}: {found} is more than a bucket from {expected}"
        );
    }
    assert_eq!(point.count, values.len() as u64);
    assert!(point.counts.len() as i64 <= MAX_BUCKETS);
    assert_eq!(point.counts.iter().sum::<u64>() + point.zero, point.count);
    assert_eq!((point.min, point.max), (sorted[0], sorted[sorted.len() - 1]));
}

#[test]
fn quantiles_are_within_one_bucket_of_the_truth() {
    for (seed, octaves) in [(1, 0.001), (2, 1.0), (3, 10.0), (4, 40.0), (5, 400.0), (6, 2000.0)] {
        check_quantiles(&values(seed, 1000, octaves));
    }
    check_quantiles(&[0.003]);
    check_quantiles(&[f64::from_bits(1), f64::MAX, 1.0]);
}

#[test]
fn narrow_data_keeps_a_fine_scale() {
    assert_eq!(histogram(&[0.5]).point().scale, MAX_SCALE);
    assert!(histogram(&values(7, 1000, 10.0)).point().scale >= 3);
}

#[test]
fn order_and_grouping_of_merges_change_nothing() {
    let parts: Vec<_> = [(1, 0.1), (2, 30.0), (3, 5.0), (4, 0.0)]
        .map(|(seed, octaves)| histogram(&values(seed, 200, octaves)))
        .to_vec();
    let all: Vec<f64> = [(1, 0.1), (2, 30.0), (3, 5.0), (4, 0.0)]
        .iter()
        .flat_map(|(seed, octaves)| values(*seed, 200, *octaves))
        .collect();
    let merged = |order: &[usize]| {
        let mut total = ExponentialHistogram::default();
        for part in order {
            total.merge(&parts[*part]);
        }
        exact(&total)
    };
    let expected = exact(&histogram(&all));
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        assert_eq!(merged(&order), expected);
    }
    let mut left = parts[0].clone();
    left.merge(&parts[1]);
    let mut right = parts[2].clone();
    right.merge(&parts[3]);
    left.merge(&right);
    assert_eq!(exact(&left), expected);
}

#[test]
fn a_lowered_scale_is_as_if_it_had_been_so_from_the_start() {
    for scale in MIN_SCALE..=6 {
        let values = values(9, 300, 3.0);
        let mut lowered = histogram(&values);
        lowered.downscale((lowered.scale - scale).max(0) as u32);
        let scale = lowered.scale;
        let mut expected = std::collections::BTreeMap::<i32, u64>::new();
        for value in values {
            *expected.entry(index(value, scale)).or_default() += 1;
        }
        let found = lowered.counts.iter().zip(lowered.offset..).filter(|(count, _)| *count > 0);
        let found: Vec<_> = found.map(|(count, index)| (index, count)).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "scale {scale}");
    }
}

#[track_caller]
fn check_refused(value: f64) {
    let mut histogram = histogram(&[1.0]);
    let before = histogram.clone();
    assert_eq!(histogram.observe(value), Err(Invalid));
    assert_eq!(histogram, before);
}

#[test]
fn what_is_no_duration_is_refused() {
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, -1e-300] {
        check_refused(value);
    }
    assert_eq!(histogram(&[0.0, -0.0]).point().zero, 2);
}

fn buckets(scale: i32, offset: i32, counts: &[u64], zero: u64, sum: f64) -> BucketCounts {
    BucketCounts { scale, offset, counts: counts.to_vec(), zero, sum }
}

#[track_caller]
fn check_buckets(into: &[f64], added: &BucketCounts, scale: i32, expected: &[(i32, u64)]) {
    let mut histogram = histogram(into);
    histogram.add(added).unwrap();
    let point = histogram.point();
    assert_eq!(point.scale, scale);
    let filled = point.counts.iter().zip(point.offset..).filter(|(count, _)| **count > 0);
    assert_eq!(filled.map(|(count, index)| (index, *count)).collect::<Vec<_>>(), expected);
    assert_eq!(point.counts.iter().sum::<u64>() + point.zero, point.count);
}

#[test]
fn kernel_buckets_of_any_scale_are_added() {
    check_buckets(&[], &buckets(0, -3, &[0, 5, 0, 2], 1, 3.0), 0, &[(-2, 5), (0, 2)]);
    check_buckets(&[1.5], &buckets(0, 0, &[3], 0, 4.0), 0, &[(0, 4)]);
    check_buckets(
        &[1.0],
        &buckets(1, -1, &[1, 1, 1, 1], 0, 5.0),
        1,
        &[(-1, 2), (0, 1), (1, 1), (2, 1)],
    );
    check_buckets(&[1e-3, 1e3], &buckets(20, 5, &[4], 0, 4.0), 3, &[(-80, 1), (0, 4), (79, 1)]);
    check_buckets(&[], &buckets(3, 7, &[], 4, 0.0), MAX_SCALE, &[]);
    let wide = vec![1; 400];
    check_buckets(
        &[],
        &buckets(3, -200, &wide, 0, 1.0),
        1,
        &(-50..50).map(|i| (i, 4)).collect::<Vec<_>>(),
    );
}

#[test]
fn kernel_buckets_out_of_range_are_refused() {
    for bad in [
        buckets(21, 0, &[1], 0, 1.0),
        buckets(-11, 0, &[1], 0, 1.0),
        buckets(i32::MIN, 0, &[1], 0, 1.0),
        buckets(0, i32::MAX, &[1, 1], 0, 1.0),
        buckets(0, i32::MIN, &[1], 0, 1.0),
        buckets(0, 0, &[1], 0, f64::NAN),
    ] {
        let mut histogram = ExponentialHistogram::default();
        assert_eq!(histogram.add(&bad), Err(Invalid), "{bad:?}");
        assert_eq!(histogram, ExponentialHistogram::default());
    }
}

#[test]
fn points_come_back_as_the_same_histogram() {
    let original = histogram(&values(11, 500, 20.0));
    assert_eq!(exact(&ExponentialHistogram::from(&original.point())), exact(&original));
}

#[test]
fn counts_beyond_four_bytes_are_exact() {
    let mut histogram = ExponentialHistogram::default();
    let many = buckets(0, 0, &[u64::from(u32::MAX)], 0, 1.0);
    histogram.add(&many).unwrap();
    histogram.add(&many).unwrap();
    assert_eq!(histogram.point().counts, [2 * u64::from(u32::MAX)]);
}
