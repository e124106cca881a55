// Package namespaces has the stories of the namespaces of sessions: one of their own,
// one for several, one in another, and of other kinds.
package namespaces

import (
	"testing"

	"pam_polyinst/tests/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
