//! SIGHUP: the settings are reloaded, all or nothing, and no request notices.

mod egress;
mod refusals;
mod settings;
mod traffic;

use crate::support::ReloadableServer;

#[test]
fn metrics_report_reloads() {
    let server = ReloadableServer::start("");
    let outcome = |outcome: &str| {
        let name = format!("aisbreaker_config_reloads_total{{outcome=\"{outcome}\"}}");
        server.metric(&name).unwrap_or_default()
    };
    let last = || server.metric("aisbreaker_config_last_reload_successful");
    assert_eq!(last().as_deref(), Some("1"), "at the start");
    server.refuse("no_setting = 1");
    assert_eq!(last().as_deref(), Some("0"));
    server.refuse("listen = 1");
    server.reload("");
    assert_eq!(last().as_deref(), Some("1"));
    assert_eq!((&*outcome("applied"), &*outcome("refused")), ("1", "2"));
}
