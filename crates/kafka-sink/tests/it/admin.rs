use expect_test::expect;
use kafka_sink::admin::create_topics;

use crate::config;

#[tokio::test]
async fn topics_are_created_once() {
    let config = config().await;
    let [first, second] = ["first", "second"].map(test_support::topic);
    create_topics(&config, &[(&first, 3)]).await.unwrap();
    create_topics(&config, &[(&first, 3), (&second, 3)]).await.unwrap();
    create_topics(&config, &[(&first, 3), (&second, 3)]).await.unwrap();
    assert_eq!(crate::read(&second).await, vec![Vec::<String>::new(); 3]);
    let error = create_topics(&config, &[(&first, 6)]).await.unwrap_err().to_string().replace(&first, "<topic>");
    expect![
        "topic <topic> exists with 3 partitions instead of 6: delete it, or begin a new STREAM_EPOCH with other topics"
    ]
    .assert_eq(&error);
}
