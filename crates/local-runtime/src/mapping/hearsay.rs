//! What the Kafka client tells only in words: the topic's id, in its log, and where it met the end of a partition,
//! beside that error's code. Its wording is fixed with its version; `tests/it` hear both from a real broker.

/// A topic and its id, in the line that the client logs when it learns it, and when another topic has taken the name.
pub(super) fn changed_id(message: &str) -> Option<(&str, &str)> {
    let (topic, ids) = message.split_once("Topic ")?.1.split_once(" changed id from ")?;
    let (_, new_id) = ids.split_once(" to ")?;
    (!new_id.is_empty() && !topic.contains(' ')).then_some((topic, new_id))
}

/// The offset behind the last one of a partition, all of which the client has handed over when it says so.
pub(super) fn end_of_partition(reason: &str) -> Option<i64> {
    let (_, offset) = reason.split_once("end of partition at offset ")?;
    offset.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topics_id_is_found_in_the_log() {
        let said = "[thrd:main]: Topic calls changed id from AAAAAAAAAAAAAAAAAAAAAA to KcNb8mS0QFmbPpnMQpHgMQ";
        assert_eq!(changed_id(said), Some(("calls", "KcNb8mS0QFmbPpnMQpHgMQ")));
        assert_eq!(changed_id("[thrd:main]: Topic calls [0]: leader 1 epoch 0"), None);
        assert_eq!(changed_id("Topic calls changed id from A to "), None);
    }

    #[test]
    fn a_partitions_end_is_found_in_the_errors_words() {
        let said = "Fetch from broker 1 reached end of partition at offset 12 (HighwaterMark 12)";
        assert_eq!(end_of_partition(said), Some(12));
        assert_eq!(end_of_partition("Broker: Unknown topic"), None);
        assert_eq!(end_of_partition("reached end of partition at offset soon"), None);
    }
}
