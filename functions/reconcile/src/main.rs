//! The function's process: see the crate's documentation.

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    lambda_boot::run(reconcile::boot).await
}
