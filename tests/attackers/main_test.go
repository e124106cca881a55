// Package attackers has the stories of users who attack, of everything at once, and of
// very many of everything.
package attackers

import (
	"testing"

	"pam_polyinst/tests/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
