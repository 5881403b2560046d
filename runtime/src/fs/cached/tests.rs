use super::*;

#[test]
fn kernels_with_false_ends_are_known() {
    for release in ["5.9.0", "5.9", "5.10.0-32-amd64\n", "5.10-rc1"] {
        assert!(has_false_ends(release), "{release}");
    }
    for release in ["5.8.18", "5.11.0", "5.100.1", "15.9.0", "6.9.0", "6.10.11-generic\n", "4.9"] {
        assert!(!has_false_ends(release), "{release}");
    }
}
