//! What a user may have meant.
//!
//! Owns the measure of likeness. Knows no catalog. Invariant: a suggestion is like the word: at most a third of its letters differ, two
//! letters that changed places counting once.

/// The candidate that is most like a word, if one is like it at all; capitals do not count. The first of equals.
#[must_use]
pub fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let (asked, word) = (word, word.to_lowercase());
    let bound = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != asked)
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= bound && *distance < candidate.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The question that a message ends with; empty if there is nothing near.
#[must_use]
pub fn question<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, candidates).map_or_else(String::new, |nearest| format!("did you mean `{nearest}`?"))
}

/// Edits between two words; an underscore is no letter.
fn distance(a: &str, b: &str) -> usize {
    let bare = |word: &str| word.replace('_', "");
    if bare(a) == bare(b) { 0 } else { strsim::damerau_levenshtein(a, b) }
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_suggestion_is_like_the_word() {
        let names = ["auction", "bidder", "price", "date_time", "id"];
        assert_eq!(closest("pric", names), Some("price"));
        assert_eq!(closest("Pirce", names), Some("price"));
        assert_eq!(closest("datetime", names), Some("date_time"));
        assert_eq!(closest("x", names), None);
        assert_eq!(closest("channel", names), None);
        assert_eq!(closest("tumbl", ["sum", "nullif", "tumble"]), Some("tumble"));
    }
}
