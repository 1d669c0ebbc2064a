//! The listener: it has its own thread, and keeps one port.

use super::{Shared, routes};
use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpSocket;

/// Larger than any event, so the homeserver's own rules reject what is too large.
const LARGEST_BODY: usize = 1024 * 1024;

/// A connection, kept to be cut later.
pub(super) struct Connection(Arc<TcpStream>);

impl Connection {
    /// Cuts it; later answers reach nobody.
    pub(super) fn cut(&self) {
        cut(&self.0);
    }
}

/// Every connection since the homeserver started.
#[derive(Default)]
struct Connections(Mutex<Vec<Arc<TcpStream>>>);

impl Connections {
    fn keep(&self, connection: Arc<TcpStream>) {
        self.0.lock().unwrap().push(connection);
    }

    /// Closes every connection and waits until the client closes it as well, so no client reuses one: its next request
    /// finds no listener.
    async fn close_all(&self) {
        let connections = std::mem::take(&mut *self.0.lock().unwrap());
        for connection in connections {
            let _was_cut_already = connection.shutdown(Shutdown::Write).is_err();
            let copy = tokio::net::TcpStream::from_std(connection.try_clone().unwrap()).unwrap();
            let closed = tokio::time::timeout(Duration::from_secs(1), read_to_end(&copy)).await;
            drop(closed);
            cut(&connection);
        }
    }
}

/// Reads until the other side closes.
async fn read_to_end(connection: &tokio::net::TcpStream) {
    loop {
        if connection.readable().await.is_err() {
            return;
        }
        match connection.try_read(&mut [0; 1024]) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return,
        }
    }
}

fn cut(connection: &TcpStream) {
    // The only error is that the other side was faster.
    let _was_cut_already = connection.shutdown(Shutdown::Both).is_err();
}

pub(super) struct Server {
    address: SocketAddr,
    /// Bound but never listening: reserves the port while the homeserver is down.
    _reserved: TcpSocket,
    connections: Arc<Connections>,
    running: Option<(ServerHandle, JoinHandle<()>)>,
}

impl Server {
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let reserved = bound("127.0.0.1:0".parse().unwrap());
        let address = reserved.local_addr().unwrap();
        let mut server = Self { address, _reserved: reserved, connections: Arc::default(), running: None };
        server.listen(shared);
        server
    }

    pub(super) fn url(&self) -> url::Url {
        format!("http://{}", self.address).parse().unwrap()
    }

    pub(super) fn listen(&mut self, shared: Arc<Shared>) {
        if self.running.is_some() {
            return;
        }
        let address = self.address;
        let connections = Arc::clone(&self.connections);
        let (send_handle, handle) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            actix_web::rt::System::new().block_on(async move {
                let listener = bound(address).listen(1024).unwrap().into_std().unwrap();
                let server = HttpServer::new(move || {
                    App::new()
                        .app_data(web::Data::from(Arc::clone(&shared)))
                        .app_data(web::PayloadConfig::new(LARGEST_BODY))
                        .default_service(web::to(routes::answer))
                })
                .workers(1)
                .disable_signals()
                .on_connect(move |connection, data| {
                    if let Some(stream) = connection.downcast_ref::<actix_web::rt::net::TcpStream>() {
                        let copy = Arc::new(TcpStream::from(stream.as_fd().try_clone_to_owned().unwrap()));
                        connections.keep(Arc::clone(&copy));
                        data.insert(Connection(copy));
                    }
                })
                .listen(listener)
                .unwrap()
                .run();
                send_handle.send(server.handle()).unwrap();
                server.await.unwrap();
            });
        });
        self.running = Some((handle.recv().unwrap(), thread));
    }

    pub(super) async fn stop(&mut self) {
        if let Some((handle, thread)) = self.running.take() {
            handle.stop(false).await;
            tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
            self.connections.close_all().await;
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some((handle, _)) = self.running.take() {
            // Creating the future sends the stop command; nothing waits for its end.
            drop(handle.stop(false));
        }
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}
