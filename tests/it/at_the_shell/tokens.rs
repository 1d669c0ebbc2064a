//! What `doctor` and `/readyz` say of tokens that differ between matrixbot and the homeserver.

use super::Site;
use super::doctor::{assert_failed, row};
use crate::waiting::until;

#[tokio::test]
async fn different_tokens_are_reported_in_each_direction() {
    let site = Site::prepare().await;
    site.register("another-hs-token");
    let output = site.run(&["doctor", "--json"]).await;
    let another =
        "the homeserver reaches matrixbot, but sends another hs_token than the one in the registration";
    assert_failed(&output, "hs_token", another, "app_service_config_files");
    {
        // A running matrixbot has the same token, and readyz reports the same.
        let _program = site.start().await;
        assert_failed(
            &site.run(&["doctor", "--json"]).await,
            "hs_token",
            another,
            "app_service_config_files",
        );
        let readyz = format!("http://127.0.0.1:{}/readyz", site.ports[2]);
        until("it has been pinged", async || {
            reqwest::get(&readyz).await.unwrap().text().await.unwrap().contains(another)
        })
        .await;
    }
    let token = site.homeserver.appservice().as_token;
    let registration = std::fs::read_to_string(site.path("registration.yaml")).unwrap();
    site.write("registration.yaml", &registration.replace(&token, "another-as-token"));
    let output = site.run(&["doctor", "--json"]).await;
    assert_failed(&output, "as_token", "M_UNKNOWN_TOKEN", "app_service_config_files");
    assert_eq!(row(&output, "room")["outcome"], "skipped");
}

#[tokio::test]
async fn on_continuwuity_the_wrong_token_is_named_and_the_remedy_is_its_own() {
    let site = Site::prepare().await;
    site.homeserver.like_continuwuity();
    site.register("another-hs-token");
    let another = "sends another hs_token than the one in the registration";
    let register = "!admin appservices register";
    assert_failed(&site.run(&["doctor", "--json"]).await, "hs_token", another, register);
    {
        let _program = site.start().await;
        assert_failed(&site.run(&["doctor", "--json"]).await, "hs_token", another, register);
        let readyz = format!("http://127.0.0.1:{}/readyz", site.ports[2]);
        until("it has been pinged", async || {
            reqwest::get(&readyz).await.unwrap().text().await.unwrap().contains(another)
        })
        .await;
    }
    site.homeserver.set_appservice_url("http://127.0.0.1:9");
    let output = site.run(&["doctor", "--json"]).await;
    assert_failed(&output, "hs_token", "cannot connect to the registration's url", "listen.appservice");
    let token = site.homeserver.appservice().as_token;
    let registration = std::fs::read_to_string(site.path("registration.yaml")).unwrap();
    site.write("registration.yaml", &registration.replace(&token, "another-as-token"));
    assert_failed(&site.run(&["doctor", "--json"]).await, "as_token", "M_UNKNOWN_TOKEN", register);
}
