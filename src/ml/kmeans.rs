//! Streaming k-means with forgetfulness.
//!
//! The update rule is that of `MLlib`'s `StreamingKMeans`: <https://spark.apache.org/docs/3.5.1/mllib-clustering.html#streaming-k-means>.
//! Knows no stream. Invariant: weights and centers stay finite.

use super::{Algorithm, misfit};
use serde::{Deserialize, Serialize};

/// What the decay factor is applied per.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimeUnit {
    /// Once per batch, even one without points.
    #[default]
    Batches,
    /// Once per point.
    Points,
}

/// Clusters points whose clusters may move: each batch moves the centers towards its points, and older points count
/// less.
///
/// ```
/// use tidegate::ml::{Algorithm, StreamingKMeans};
/// let kmeans = StreamingKMeans::with_centers(vec![vec![0.0], vec![10.0]], vec![0.0, 0.0]);
/// let mut model = kmeans.initial();
/// kmeans.train(&mut model, &[vec![1.0], vec![3.0], vec![8.0]]).unwrap();
/// assert_eq!(model.centers, [[2.0], [8.0]]);
/// assert_eq!(kmeans.predict(&model, &[4.0]), Ok(0));
/// ```
#[derive(Clone, Debug)]
pub struct StreamingKMeans {
    initial: KMeansModel,
    decay_factor: f64,
    time_unit: TimeUnit,
}

/// The centers and the weight of each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KMeansModel {
    /// One per cluster; all have the same number of dimensions.
    pub centers: Vec<Vec<f64>>,
    /// Number of points behind each center, after decay.
    pub weights: Vec<f64>,
}

/// A cluster whose weight falls below this fraction of the greatest weight is dropped, and the greatest cluster is
/// split.
const DYING: f64 = 1e-8;
/// How far apart the halves of a split cluster start, relative to the center.
const SPLIT: f64 = 1e-14;

impl StreamingKMeans {
    /// Starts from the given centers; a center with weight 0 moves to the mean of its first points.
    ///
    /// ```
    /// use tidegate::ml::{Algorithm, StreamingKMeans};
    /// let kmeans = StreamingKMeans::with_centers(vec![vec![0.0], vec![10.0]], vec![0.0, 3.0]);
    /// let mut model = kmeans.initial();
    /// kmeans.train(&mut model, &[vec![2.0], vec![6.0]]).unwrap();
    /// assert_eq!((model.centers, model.weights), (vec![vec![2.0], vec![9.0]], vec![1.0, 4.0]));
    /// ```
    #[must_use]
    pub fn with_centers(centers: Vec<Vec<f64>>, weights: Vec<f64>) -> Self {
        let initial = KMeansModel { centers, weights };
        StreamingKMeans { initial, decay_factor: 1.0, time_unit: TimeUnit::default() }
    }

    /// Starts from `k` centers drawn from the standard normal distribution, each with the weight `weight`. The same
    /// seed gives the same centers.
    ///
    /// ```
    /// use tidegate::ml::{Algorithm, StreamingKMeans};
    /// let model = StreamingKMeans::with_random_centers(3, 2, 0.0, 42).initial();
    /// assert_eq!((model.centers.len(), model.centers[0].len()), (3, 2));
    /// assert_eq!(model, StreamingKMeans::with_random_centers(3, 2, 0.0, 42).initial());
    /// ```
    #[must_use]
    pub fn with_random_centers(k: usize, dimensions: usize, weight: f64, seed: u64) -> Self {
        let mut normal = Normal(seed);
        let centers = (0..k).map(|_| (0..dimensions).map(|_| normal.next()).collect()).collect();
        StreamingKMeans::with_centers(centers, vec![weight; k])
    }

    /// How much what was learned before counts against a new batch: 1 = as much as each of its points (the
    /// default), 0 = not at all.
    ///
    /// ```
    /// use tidegate::ml::{Algorithm, StreamingKMeans, TimeUnit};
    /// let kmeans = StreamingKMeans::with_centers(vec![vec![0.0]], vec![1.0]).decay_factor(0.0, TimeUnit::Batches);
    /// let mut model = kmeans.initial();
    /// kmeans.train(&mut model, &[vec![4.0], vec![6.0]]).unwrap();
    /// assert_eq!(model.centers, [[5.0]]); // what was learned before is forgotten
    /// ```
    #[must_use]
    pub fn decay_factor(mut self, factor: f64, unit: TimeUnit) -> Self {
        (self.decay_factor, self.time_unit) = (factor, unit);
        self
    }

    /// Sets the decay factor so that the weight of a batch halves after this many batches or points.
    ///
    /// ```
    /// use tidegate::ml::{Algorithm, StreamingKMeans, TimeUnit};
    /// let kmeans = StreamingKMeans::with_centers(vec![vec![0.0]], vec![8.0]).half_life(1.0, TimeUnit::Batches);
    /// let mut model = kmeans.initial();
    /// kmeans.train(&mut model, &[vec![10.0]]).unwrap();
    /// assert!((model.weights[0] - 5.0).abs() < 1e-9); // half of 8, plus the new point
    /// ```
    #[must_use]
    pub fn half_life(self, half_life: f64, unit: TimeUnit) -> Self {
        self.decay_factor((0.5f64.ln() / half_life).exp(), unit)
    }
}

impl Algorithm for StreamingKMeans {
    type Model = KMeansModel;
    type Example = Vec<f64>;
    type Prediction = usize;

    fn initial(&self) -> KMeansModel {
        self.initial.clone()
    }

    fn check(&self) -> Result<(), String> {
        let KMeansModel { centers, weights } = &self.initial;
        let Some(first) = centers.first() else { return Err("k-means needs a center".into()) };
        if centers.len() != weights.len() {
            return Err(format!("{} centers have {} weights", centers.len(), weights.len()));
        }
        if let Some(why) = centers.iter().find_map(|c| misfit(c, first.len())) {
            return Err(format!("a center is {why}"));
        }
        if !(0.0..=1.0).contains(&self.decay_factor) {
            return Err(format!("the decay factor {} is not between 0 and 1", self.decay_factor));
        }
        Ok(())
    }

    fn misfits(&self, model: &KMeansModel) -> Option<String> {
        let of = |model: &KMeansModel| (model.centers.len(), model.centers.first().map_or(0, Vec::len));
        let ((centers, numbers), asked) = (of(model), of(&self.initial));
        (asked != (centers, numbers)).then(|| {
            format!(
                "has {centers} centers of {numbers} numbers, and the program asks for {} of {}",
                asked.0, asked.1
            )
        })
    }

    fn refuses(&self, example: &Vec<f64>) -> Option<String> {
        misfit(example, self.initial.centers[0].len())
    }

    /// Decays the weights once per batch, if the factor is applied per batch.
    fn forget(&self, model: &mut KMeansModel) -> bool {
        let decays = self.time_unit == TimeUnit::Batches && self.decay_factor < 1.0;
        if !decays || model.weights.iter().all(|w| *w == 0.0) {
            return false;
        }
        model.decay(self.decay_factor);
        model.revive();
        true
    }

    #[expect(clippy::cast_precision_loss, reason = "numbers of points are far below 2^53")]
    fn train(&self, model: &mut KMeansModel, batch: &[Vec<f64>]) -> Result<(), String> {
        let dimensions = model.centers[0].len();
        let mut sums = vec![(vec![0.0; dimensions], 0.0); model.centers.len()];
        for point in batch {
            let (sum, count) = &mut sums[model.nearest(point)];
            sum.iter_mut().zip(point).for_each(|(s, x)| *s += x);
            *count += 1.0;
        }
        let discount = match self.time_unit {
            TimeUnit::Batches => self.decay_factor,
            TimeUnit::Points => self.decay_factor.powf(batch.len() as f64),
        };
        model.decay(discount);
        for (cluster, (sum, count)) in sums.into_iter().enumerate().filter(|(_, (_, count))| *count > 0.0) {
            let weight = model.weights[cluster] + count;
            model.weights[cluster] = weight;
            let part = count / weight.max(1e-16);
            for (c, s) in model.centers[cluster].iter_mut().zip(sum) {
                *c = *c * (1.0 - part) + s * part / count;
            }
        }
        model.revive();
        Ok(())
    }

    fn predict(&self, model: &KMeansModel, features: &[f64]) -> Result<usize, String> {
        misfit(features, model.centers[0].len()).map_or_else(|| Ok(model.nearest(features)), Err)
    }
}

impl KMeansModel {
    /// The cluster whose center is nearest; the first one on a tie.
    fn nearest(&self, point: &[f64]) -> usize {
        let distance = |c: &[f64]| c.iter().zip(point).map(|(c, x)| (c - x) * (c - x)).sum::<f64>();
        let distances = self.centers.iter().map(|c| distance(c)).enumerate();
        distances.min_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |(cluster, _)| cluster)
    }

    fn decay(&mut self, discount: f64) {
        self.weights.iter_mut().for_each(|w| *w *= discount);
    }

    /// Splits the heaviest cluster in two if the lightest has died out.
    fn revive(&mut self) {
        let weights = || self.weights.iter().copied().enumerate();
        let Some((heaviest, most)) = weights().max_by(|a, b| a.1.total_cmp(&b.1)) else { return };
        let Some((lightest, least)) = weights().min_by(|a, b| a.1.total_cmp(&b.1)) else { return };
        if least >= DYING * most || heaviest == lightest {
            return;
        }
        let half = f64::midpoint(most, least);
        (self.weights[heaviest], self.weights[lightest]) = (half, half);
        for d in 0..self.centers[heaviest].len() {
            let x = self.centers[heaviest][d];
            let step = SPLIT * x.abs().max(1.0);
            (self.centers[heaviest][d], self.centers[lightest][d]) = (x + step, x - step);
        }
    }
}

/// Normally distributed numbers from a seed: splitmix64, then the Box-Muller transform.
struct Normal(u64);

impl Normal {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let (high, all) = (((z ^ (z >> 31)) >> 11) as f64, (1u64 << 53) as f64);
        (high + 0.5) / all
    }

    fn next(&mut self) -> f64 {
        let (a, b) = (self.uniform(), self.uniform());
        (-2.0 * a.ln()).sqrt() * (std::f64::consts::TAU * b).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_life_halves_what_was_learned() {
        let kmeans = StreamingKMeans::with_centers(vec![vec![0.0]], vec![8.0]);
        let taught = |kmeans: &StreamingKMeans| {
            let mut model = kmeans.initial();
            (0..3).for_each(|_| kmeans.train(&mut model, &[vec![0.0], vec![0.0]]).unwrap());
            model.weights[0]
        };
        assert!((taught(&kmeans) - 14.0).abs() < 1e-12);
        let batches = kmeans.clone().half_life(1.0, TimeUnit::Batches);
        assert!((taught(&batches) - (1.0 + 0.5 + 1.0 + 2.0)).abs() < 1e-12);
        let points = kmeans.half_life(2.0, TimeUnit::Points);
        assert!((taught(&points) - taught(&batches)).abs() < 1e-12);
    }

    #[test]
    fn a_batch_without_points_decays_the_weights_too() {
        let kmeans = StreamingKMeans::with_centers(vec![vec![7.0], vec![9.0]], vec![8.0, 4.0]);
        let quiet = |kmeans: &StreamingKMeans| {
            let mut model = kmeans.initial();
            (kmeans.forget(&mut model), model.weights, model.centers)
        };
        let centers = vec![vec![7.0], vec![9.0]];
        let batches = kmeans.clone().half_life(1.0, TimeUnit::Batches);
        assert_eq!(quiet(&batches), (true, vec![4.0, 2.0], centers.clone()));
        let unchanged = (false, vec![8.0, 4.0], centers);
        assert_eq!(quiet(&kmeans.clone().half_life(1.0, TimeUnit::Points)), unchanged);
        assert_eq!(quiet(&kmeans), unchanged, "it forgets nothing");
        let mut blank = KMeansModel { centers: vec![vec![1.0]], weights: vec![0.0] };
        assert!(!batches.forget(&mut blank), "nothing is left to forget");
    }

    #[test]
    fn a_dying_cluster_takes_over_half_of_the_greatest() {
        let kmeans = StreamingKMeans::with_centers(vec![vec![1.0], vec![900.0]], vec![1.0, 0.0]);
        let mut model = kmeans.initial();
        kmeans.train(&mut model, &[vec![1.0]]).unwrap();
        assert_eq!(model.weights, [1.0, 1.0]);
        assert!(model.centers[0][0] > 1.0 && model.centers[1][0] < 1.0, "{model:?}");
    }

    #[test]
    fn random_centers_follow_the_seed_and_the_distribution() {
        let centers = |seed| StreamingKMeans::with_random_centers(2_000, 2, 0.0, seed).initial.centers;
        assert_eq!(centers(7), centers(7));
        assert_ne!(centers(7), centers(8));
        let all: Vec<f64> = centers(7).concat();
        let mean = all.iter().sum::<f64>() / 4_000.0;
        let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4_000.0;
        assert!(mean.abs() < 0.05 && (variance - 1.0).abs() < 0.08, "{mean} {variance}");
    }

    #[test]
    fn mistakes_are_reported() {
        let check = |centers, weights| StreamingKMeans::with_centers(centers, weights).check().unwrap_err();
        assert!(check(vec![], vec![]).contains("needs a center"));
        assert!(check(vec![vec![1.0]], vec![]).contains("1 centers have 0 weights"));
        assert!(check(vec![vec![1.0], vec![]], vec![0.0; 2]).contains("a vector of 0 numbers"));
        let kmeans = StreamingKMeans::with_centers(vec![vec![1.0]], vec![0.0]);
        assert!(kmeans.refuses(&vec![f64::NAN]).unwrap().contains("number 0 of the vector is NaN"));
    }
}
