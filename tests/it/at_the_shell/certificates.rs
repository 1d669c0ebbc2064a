//! Renewing a certificate while the program is running.

use super::Site;
use crate::waiting::until;
use std::time::Duration;

fn certificate() -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    (made.cert.pem(), made.signing_key.serialize_pem())
}

#[tokio::test]
async fn a_renewed_certificate_is_used_after_sighup() {
    let site = Site::prepare().await;
    let admin = format!("'127.0.0.1:{}'", site.ports[2]);
    let with_tls = format!("{{address: {admin}, tls: {{certificate: tls.crt, key: tls.key}}}}");
    site.write("config.yaml", &site.config().replace(&admin, &with_tls));
    let (first, second) = (certificate(), certificate());
    site.write("tls.crt", &first.0);
    site.write("tls.key", &first.1);
    let program = site.start().await;
    let url = format!("https://localhost:{}/livez", site.ports[2]);
    let trusted = async |certificate: &str| {
        let root = reqwest::Certificate::from_pem(certificate.as_bytes()).unwrap();
        let client =
            reqwest::Client::builder().tls_certs_only([root]).timeout(Duration::from_secs(10)).build();
        client.unwrap().get(&url).send().await.is_ok()
    };
    assert!(trusted(&first.0).await && !trusted(&second.0).await);
    site.write("tls.crt", "a draft of a certificate");
    program.signal("HUP");
    until("the error is logged", async || program.log().contains("the certificate was not reloaded")).await;
    assert!(trusted(&first.0).await);
    site.write("tls.crt", &second.0);
    site.write("tls.key", &second.1);
    program.signal("HUP");
    until("it is used", async || trusted(&second.0).await).await;
    assert!(!trusted(&first.0).await);
    assert!(program.log().contains("was reloaded"), "{}", program.log());
    let probed = site.run(&["probe"]).await;
    assert_eq!(probed.code, Some(0), "{probed:#?}");
}
