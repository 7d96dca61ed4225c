//! Readable random ids for nodes that were given none. Only for people: nothing depends on their form.

use crate::id::NodeId;

const MANNERS: [&str; 32] = [
    "amber", "brave", "brisk", "calm", "clever", "cosy", "crisp", "dapper", "eager", "fleet",
    "gentle", "glad", "golden", "happy", "humble", "jolly", "keen", "lively", "lucky", "mellow",
    "merry", "nimble", "patient", "plucky", "proud", "quiet", "rapid", "silver", "steady", "sunny",
    "tidy", "witty",
];

const ANIMALS: [&str; 32] = [
    "badger", "beaver", "bison", "crane", "curlew", "dolphin", "falcon", "ferret", "finch", "fox",
    "gecko", "hare", "heron", "ibex", "jackdaw", "kestrel", "lark", "lynx", "marten", "newt",
    "otter", "owl", "panda", "puffin", "quail", "raven", "robin", "seal", "stoat", "swift",
    "tapir", "wren",
];

/// Two words and six digits: a billion ids, so that a mesh of a thousand nodes hardly ever draws one twice.
pub(crate) fn random_id(rng: &mut fastrand::Rng) -> NodeId {
    let manner = MANNERS[rng.usize(..MANNERS.len())];
    let animal = ANIMALS[rng.usize(..ANIMALS.len())];
    let number = rng.u32(..1_000_000);
    NodeId::new(format!("{manner}-{animal}-{number:06}")).expect("two short words and digits")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_ids_are_readable_and_differ() {
        let _bound = crate::bound::bound();
        let mut rng = fastrand::Rng::with_seed(7);
        let (one, two) = (random_id(&mut rng), random_id(&mut rng));
        assert_ne!(one, two);
        assert_eq!(one.as_str().split('-').count(), 3);
    }
}
