//! The program in virtual time, with a restart.

use tidegate::testing::Driver;

#[test]
fn totals_go_on_after_a_restart_and_bad_orders_are_set_aside() {
    let mut driver = Driver::new(totals::totals);
    // topic partition | key | value
    let written = driver.batch("orders 0 | ada | {\"item\":\"tea\",\"cents\":250}\n").unwrap();
    assert_eq!(written.to_string(), "totals | ada | 250\n");
    driver.restart_without_state();
    let written =
        driver.batch("orders 0 | ada | {\"item\":\"rum\",\"cents\":900}\norders 1 | bob | ?\n").unwrap();
    assert!(written.rows().any(|row| row == "totals | ada | 1150"), "{written}");
    assert!(written.rows().any(|row| row.starts_with("app-dlq | bob | ?")), "{written}");
}
