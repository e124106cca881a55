// Package install has the stories of installing: make install, packages, Ansible,
// NixOS, authselect, and evidence for auditors.
package install

import (
	"testing"

	"pam_polyinst/tests/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
