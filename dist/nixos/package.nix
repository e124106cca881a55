# pam_polyinst as a Nix package:
#
#   pkgs.callPackage ./package.nix { buildGoModule = pkgs.buildGo126Module; }
#
# TestNixOS says how far this was tried.
{ lib, buildGoModule, pam, gnumake }:

buildGoModule {
  pname = "pam_polyinst";
  version = lib.strings.trim (builtins.readFile ../../VERSION);
  src = lib.cleanSource ../..;

  # What `go mod vendor` makes of go.sum; TestNixVendorHash computes it.
  vendorHash = "sha256-7K69yeF//I8mWp9JJc9/Uj7EDTMa0FO0H5l7NW/2Zio=";

  nativeBuildInputs = [ gnumake ];
  buildInputs = [ pam ];

  # The configuration is read from /etc. A vendor's one would lie in the store,
  # where files are believed by nobody: members of nixbld can write there.
  makeFlags = [
    "PREFIX=${placeholder "out"}"
    "SBINDIR=${placeholder "out"}/bin"
    "PAMDIR=${placeholder "out"}/lib/security"
    "UNITDIR=${placeholder "out"}/lib/systemd/system"
    "TMPFILESDIR=${placeholder "out"}/lib/tmpfiles.d"
    "ZSHCOMPDIR=${placeholder "out"}/share/zsh/site-functions"
    "SYSCONFDIR=/etc"
    "VENDORDIR=/usr/share/polyinst"
  ];
  buildPhase = ''
    runHook preBuild
    patchShebangs dist
    make build $makeFlags
    runHook postBuild
  '';
  # `make install` also makes /etc, which is the module's to write on NixOS.
  installPhase = ''
    runHook preInstall
    make install DESTDIR="$NIX_BUILD_TOP/stage" $makeFlags
    mv "$NIX_BUILD_TOP/stage$out" "$out"
    runHook postInstall
  '';
  doCheck = false; # the tests need root, and a machine to copy

  meta = {
    description = "Private directories for each login session";
    license = lib.licenses.mit;
    platforms = lib.platforms.linux;
    mainProgram = "polyinst";
  };
}
