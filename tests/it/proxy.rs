//! What is between matrixbot and Postgres: it can stop forwarding, as a frozen server or a cut network does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy in front of a TCP server.
#[derive(Debug, Clone)]
pub(crate) struct Proxy {
    port: u16,
    /// Of each connection: whether it is frozen.
    connections: Arc<Mutex<Vec<watch::Sender<bool>>>>,
    /// Whether new connections are frozen from their beginning.
    hung: Arc<AtomicBool>,
}

#[expect(clippy::disallowed_methods, reason = "its connections end with the test's runtime")]
impl Proxy {
    /// A proxy in front of the server at this address.
    pub(crate) async fn start(host: String, port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Self {
            port: listener.local_addr().unwrap().port(),
            connections: Arc::default(),
            hung: Arc::default(),
        };
        let (connections, hung) = (Arc::clone(&proxy.connections), Arc::clone(&proxy.hung));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(server) = TcpStream::connect((host.as_str(), port)).await else { continue };
                let frozen = watch::Sender::new(hung.load(Ordering::Relaxed));
                let [forth, back] = [frozen.subscribe(), frozen.subscribe()];
                connections.lock().unwrap().push(frozen);
                let ((from_client, to_client), (from_server, to_server)) =
                    (client.into_split(), server.into_split());
                tokio::spawn(forward(from_client, to_server, forth));
                tokio::spawn(forward(from_server, to_client, back));
            }
        });
        proxy
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Stops forwarding on every connection that there is. New ones work.
    pub(crate) fn freeze(&self) {
        self.set(true);
    }

    /// Stops forwarding on every connection, also on new ones.
    pub(crate) fn hang(&self) {
        self.hung.store(true, Ordering::Relaxed);
        self.set(true);
    }

    /// Forwards everything that came meanwhile, and goes on.
    pub(crate) fn thaw(&self) {
        self.hung.store(false, Ordering::Relaxed);
        self.set(false);
    }

    fn set(&self, frozen: bool) {
        for connection in &*self.connections.lock().unwrap() {
            connection.send_replace(frozen);
        }
    }
}

async fn forward(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut frozen: watch::Receiver<bool>,
) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from.read(&mut buffer).await.unwrap_or(0);
        // The proxy outlives its connections.
        drop(frozen.wait_for(|frozen| !frozen).await);
        if read == 0 || to.write_all(&buffer[..read]).await.is_err() {
            drop(to.shutdown().await);
            return;
        }
    }
}
