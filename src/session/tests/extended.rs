//! Extended queries.

use super::Table;

#[test]
fn a_protected_portal_is_described_for_pgveil_alone() {
    Table::clerk().play(
        "C> P |SELECT name FROM customers / B | / D P| / E / S
         U< P |SELECT name FROM customers / B | / D P| / D P| / E / S
         U> 1 / 2 / T name=16384.2:25 / T name=16384.2:25 / D Ada / C SELECT 1 / Z I
         C< 1 / 2 / T name=16384.2:25 / D A## / C SELECT 1 / Z I",
    );
}
