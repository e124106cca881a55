// Package docs has the tests of the pages: what they say is what the code says.
package docs

import (
	"testing"

	"pam_polyinst/tests/kit"
)

func TestMain(m *testing.M) { kit.Main(m) }
