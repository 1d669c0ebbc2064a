//! Integration tests through the external interfaces, mostly on the test's own clock.

#[cfg(test)]
mod alertmanager;
#[cfg(test)]
mod appservice_api;
#[cfg(test)]
mod at_the_shell;
#[cfg(test)]
mod coming_in;
#[cfg(test)]
mod command_line;
#[cfg(test)]
mod database;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod homeserver;
#[cfg(test)]
mod homeserver_push;
#[cfg(test)]
mod matrix_client;
#[cfg(test)]
mod migrating;
#[cfg(test)]
mod plans;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod rooms;
#[cfg(test)]
mod same_as_synapse;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod stories;
#[cfg(test)]
mod telling;
#[cfg(test)]
mod upgrade;
#[cfg(test)]
mod waiting;
#[cfg(test)]
mod webhook;
#[cfg(test)]
mod world;
