//! What a misspelt word may be meant as.
//!
//! Owns the measure. Knows no words of its own. Invariant: what is offered differs in one letter of three at most.

/// The candidate that is spelt most like `word`; `None` if none is near.
pub(super) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |candidate: &&'a str| strsim::damerau_levenshtein(word, candidate);
    let nearest = candidates.into_iter().filter(|candidate| *candidate != word).min_by_key(distance)?;
    let letters = word.chars().count().max(nearest.chars().count());
    (distance(&nearest) <= (letters / 3).min(3)).then_some(nearest)
}

/// The question that a message ends with; empty if there is nothing near.
pub(super) fn question<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    closest(word, candidates).map_or_else(String::new, |nearest| format!("did you mean `{nearest}`?"))
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn only_what_is_near_is_offered() {
        assert_eq!(closest("FORM", ["SELECT", "FROM"]), Some("FROM"));
        assert_eq!(closest("ofset", ["topic", "offset"]), Some("offset"));
        assert_eq!(closest("price", ["topic", "offset"]), None);
        assert_eq!(closest("a", ["b"]), None);
        assert_eq!(closest("FROM", ["FROM"]), None);
    }
}
