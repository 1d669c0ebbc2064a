//! Runs the work of requests on the main runtime.

use tokio::runtime::Handle;

/// The runtime of the workers.
///
/// Each thread of a listener has its own runtime. It ends with the listener, and with it every connection opened there.
/// The connection pools are shared, and shutdown stops the listeners before the workers finish: so all work that may
/// open a connection runs on this runtime. The work of a request continues to its end even if the client disconnects.
#[derive(Debug, Clone)]
pub struct MainRuntime(Handle);

impl MainRuntime {
    /// The runtime of the caller.
    ///
    /// # Panics
    /// Outside a runtime.
    pub fn current() -> Self {
        Self(Handle::current())
    }

    /// Runs `work` on this runtime and returns its result. If `work` panics, the caller panics too.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        match self.0.spawn(work).await {
            Ok(result) => result,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime has ended, and the program with it.
                Err(_cancelled) => std::future::pending().await,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::MainRuntime;
    use tokio::net::UdpSocket;

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
    }

    #[test]
    fn a_socket_outlives_the_runtime_that_requested_it() {
        let (main, listener) = (runtime(), runtime());
        let here = main.block_on(async { MainRuntime::current() });
        // A socket belongs to the runtime that opened it.
        let socket = listener.block_on(here.run(async { UdpSocket::bind("127.0.0.1:0").await.unwrap() }));
        drop(listener);
        let sent = main.block_on(async {
            socket.send_to(b"to itself", socket.local_addr().unwrap()).await.unwrap();
            socket.recv_from(&mut [0; 16]).await
        });
        assert_eq!(sent.unwrap().0, "to itself".len());
    }

    #[test]
    #[should_panic(expected = "from the work")]
    fn the_caller_panics_if_the_work_panics() {
        let (main, listener) = (runtime(), runtime());
        let here = main.block_on(async { MainRuntime::current() });
        listener.block_on(here.run(async { panic!("from the work") }));
    }
}
