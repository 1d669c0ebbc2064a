//! Where what a request asks for is done.

use tokio::runtime::Handle;

/// The runtime of the workers.
///
/// Each thread of a listener has a runtime of its own, which ends with the listener, and every connection that was
/// opened in it is dead from then on. The pools of connections are for all, and a stop closes the listeners before
/// the workers have finished: whatever may open a connection runs here. A request whose sender gives up is done to its
/// end.
#[derive(Debug, Clone)]
pub struct MainRuntime(Handle);

impl MainRuntime {
    /// The runtime that calls this.
    ///
    /// # Panics
    /// Outside of a runtime.
    pub fn current() -> Self {
        Self(Handle::current())
    }

    /// Does `work` there and returns what it returns. A panic of it goes on here.
    pub async fn run<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> T {
        match self.0.spawn(work).await {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // That runtime has ended, and the whole program with it.
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
    fn work_of_another_runtime_outlives_that_one() {
        let (main, passing) = (runtime(), runtime());
        let here = main.block_on(async { MainRuntime::current() });
        // A socket belongs to the runtime it was made in.
        let socket = passing.block_on(here.run(async { UdpSocket::bind("127.0.0.1:0").await.unwrap() }));
        drop(passing);
        let sent = main.block_on(async {
            socket.send_to(b"to itself", socket.local_addr().unwrap()).await.unwrap();
            socket.recv_from(&mut [0; 16]).await
        });
        assert_eq!(sent.unwrap().0, "to itself".len());
    }

    #[test]
    #[should_panic(expected = "as in one's own")]
    fn a_panic_is_one_of_whoever_waits() {
        let (main, passing) = (runtime(), runtime());
        let here = main.block_on(async { MainRuntime::current() });
        passing.block_on(here.run(async { panic!("as in one's own") }));
    }
}
