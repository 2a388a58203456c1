//! What ends a master although nobody asked it to.

use std::path::PathBuf;

use cairn_proto::ids::ClusterId;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::Group;
use super::identity::Identity;
use super::replicated::FatalError;

/// Without its keeper a master would neither serve nor take part in elections, and nobody would know.
pub(super) fn watch_keeper(keeper: JoinHandle<bool>, failure: watch::Sender<Option<FatalError>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let why = match keeper.await {
            Ok(true) => return,
            Ok(false) => "the keeper of the leader lease ended by itself".to_owned(),
            Err(error) => format!("the keeper of the leader lease died: {error}"),
        };
        tracing::error!("{why}");
        failure.send_replace(Some(FatalError { why }));
    })
}

/// The group wants no more of this master: a member refuses it, or says that it was removed.
pub(super) fn watch_expulsion(
    mut expelled: watch::Receiver<Option<String>>,
    removed: impl Future<Output = String> + Send + 'static,
    failure: watch::Sender<Option<FatalError>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let refused = async {
            let told = expelled.wait_for(Option::is_some).await.ok().and_then(|why| why.clone());
            match told {
                Some(why) => why,
                None => std::future::pending().await,
            }
        };
        let why = tokio::select! { why = refused => why, why = removed => why };
        failure.send_replace(Some(FatalError { why }));
    })
}

/// The Raft group can take no further part.
pub(super) fn watch_group(group: Group, failure: watch::Sender<Option<FatalError>>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let why = group.failed().await;
        tracing::error!(why, "the Raft group has failed on this master");
        failure.send_replace(Some(FatalError { why }));
    })
}

/// Keeps the cluster's id in the identity too, so that parts of two directories are told apart.
pub(super) fn remember_cluster(
    mut identity: Identity,
    mut cluster: watch::Receiver<Option<ClusterId>>,
    root: PathBuf,
    failure: watch::Sender<Option<FatalError>>,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Ok(known) = cluster.wait_for(Option::is_some).await.map(|known| *known) else { return };
        if identity.cluster == known {
            return;
        }
        identity.cluster = known;
        let written = tokio::task::spawn_blocking(move || identity.write(&root)).await;
        let why = match written {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        failure.send_replace(Some(FatalError { why }));
    })
}

#[cfg(test)]
mod tests {
    use tokio::sync::watch;

    use super::watch_keeper;

    #[tokio::test]
    async fn a_keeper_that_dies_is_fatal_and_one_that_was_told_to_stop_is_not() {
        let (failure, mut seen) = watch::channel(None);
        watch_keeper(tokio::spawn(async { true }), failure.clone()).await.unwrap();
        assert_eq!(*seen.borrow_and_update(), None);
        watch_keeper(tokio::spawn(async { panic!("out of order") }), failure).await.unwrap();
        let why = seen.borrow_and_update().clone().unwrap().why;
        assert!(why.contains("died") && why.contains("out of order"), "{why}");
    }
}
