//! Generated lines: words of an English-like vocabulary, with frequencies as uneven as in real text (Zipf's law).
//!
//! Pure: line `n` is always the same. Knows no topic and no clock. Invariant: words are separated by single spaces.

/// The words that a reader will see at the top.
const FREQUENT: &str = "the of and to in is you that it he was for on are as with his they at be this have from or one had by word \
but not what all were we when your can said there use an each which she do how their if will up other about out many then them these \
so some her would make like him into time has look two more write go see number no way could people my than first water been call who \
oil its now find long down day did get come made may part";
const ONSETS: [&str; 16] =
    ["b", "c", "d", "f", "gr", "h", "l", "m", "n", "p", "r", "s", "st", "t", "tr", "w"];
const VOWELS: [&str; 6] = ["a", "e", "i", "o", "u", "ea"];
const CODAS: [&str; 8] = ["", "n", "r", "l", "s", "t", "nd", "ck"];
/// Approximate number of different words.
const WORDS: usize = 5_000;
const SEED: u64 = 0x7469_6465_6761_7465;

/// Generates lines.
pub struct Lines {
    words: Vec<String>,
    /// Sum of the weights of all words up to each.
    cumulative: Vec<u64>,
}

impl Lines {
    /// The vocabulary with its frequencies.
    pub fn new() -> Self {
        let mut words: Vec<String> = FREQUENT.split(' ').map(str::to_owned).collect();
        let mut random = Random(SEED);
        while words.len() < WORDS {
            let mut word = String::new();
            for _ in 0..=1 + random.below(2) {
                word.push_str(random.pick(&ONSETS));
                word.push_str(random.pick(&VOWELS));
            }
            word.push_str(random.pick(&CODAS));
            words.push(word);
        }
        let mut total = 0;
        let weights = (0..words.len() as u64).map(|rank| 1_000_000_000 / (rank + 2));
        let cumulative = weights.map(|weight| {
            total += weight;
            total
        });
        Lines { cumulative: cumulative.collect(), words }
    }

    /// Appends line `n`: 4 to 12 words.
    pub fn append(&self, n: u64, out: &mut String) {
        let mut random = Random(SEED ^ n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let total = self.cumulative[self.cumulative.len() - 1];
        for i in 0..4 + random.below(9) {
            if i > 0 {
                out.push(' ');
            }
            let at = random.below(total);
            out.push_str(&self.words[self.cumulative.partition_point(|sum| *sum <= at)]);
        }
    }
}

/// Steele, Lea and Flood's `SplitMix64`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.below(from.len() as u64)).expect("smaller than a length")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_line_is_always_the_same_and_its_words_follow_zipf() {
        let (lines, mut text) = (Lines::new(), String::new());
        let line = |n| {
            let mut out = String::new();
            Lines::new().append(n, &mut out);
            out
        };
        assert_eq!(line(7), line(7));
        assert_ne!(line(7), line(8));
        for n in 0..20_000 {
            lines.append(n, &mut text);
            text.push('\n');
        }
        assert!(text.lines().all(|l| (4..=12).contains(&l.split(' ').filter(|w| !w.is_empty()).count())));
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        text.split_whitespace().for_each(|word| *counts.entry(word).or_default() += 1);
        let (the, of, come) = (counts["the"], counts["of"], counts["come"]);
        assert!(the > of && of > come * 20, "the {the}, of {of}, come {come}");
        assert!(counts.len() > 4_000, "{} words", counts.len());
    }
}
