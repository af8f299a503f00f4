//! The function's process: everything is in the library.

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    lambda_boot::run(dashboard_http::boot).await
}
