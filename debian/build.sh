#!/bin/bash
# Builds the Debian package of a wheel:  debian/build.sh PYTHON WHEEL FOLDER   PYTHON is one that has tiffsd's dependencies.
# It carries no dependencies: with torch they are gigabytes, of one Python, one processor and one kind of GPU.
set -euo pipefail
cd "$(dirname "$0")/.."
python=$1 wheel=$2 into=$3

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
version=$(basename "$wheel" | cut -d- -f2)-1

put() { install -D --mode=644 "$1" "$root/$2"; }
complete() { "$python" -m daemon completion "$1" | install -D --mode=644 /dev/stdin "$root/$2"; }
changes() {
    printf 'tiffsd (%s) unstable; urgency=medium\n\n  * What changed for people stands in changelog.gz.\n\n' "$version"
    printf ' -- %s  %s\n' "$(sed -n 's/^Maintainer: //p' debian/control)" "$(date -R --date="@${SOURCE_DATE_EPOCH:-$(date +%s)}")"
}

put "$wheel" "usr/share/tiffsd/$(basename "$wheel")"
put constraints.txt usr/share/tiffsd/constraints.txt
put systemd/tiffsd.service usr/lib/systemd/system/tiffsd.service
put systemd/tiffsd-web.service usr/lib/systemd/system/tiffsd-web.service
put systemd/tiffsd.sysusers usr/lib/sysusers.d/tiffsd.conf
put systemd/tiffsd.tmpfiles usr/lib/tmpfiles.d/tiffsd.conf
put systemd/tiffsd-ssh.conf usr/share/tiffsd/tiffsd-ssh.conf
put systemd/tiffsd.ssh_config usr/share/tiffsd/tiffsd.ssh_config
put debian/pip.conf etc/tiffsd/pip.conf
sed 's|^spool: spool$|spool: /var/lib/tiffsd|' config.yaml | install -D --mode=644 /dev/stdin "$root/etc/tiffsd/config.yaml"
grep -q '^spool: /var/lib/tiffsd$' "$root/etc/tiffsd/config.yaml"
if [ -f tests/docs/command_line.py ]; then
    "$python" -m tests.docs.command_line --man | gzip -9n | install -D --mode=644 /dev/stdin "$root/usr/share/man/man1/tiffsd.1.gz"
fi
complete bash usr/share/bash-completion/completions/tiffsd
complete zsh usr/share/zsh/vendor-completions/_tiffsd
complete fish usr/share/fish/vendor_completions.d/tiffsd.fish
put debian/copyright usr/share/doc/tiffsd/copyright
put debian/lintian-overrides usr/share/lintian/overrides/tiffsd
gzip -9n < CHANGELOG.md | install -D --mode=644 /dev/stdin "$root/usr/share/doc/tiffsd/changelog.gz"
changes | gzip -9n | install -D --mode=644 /dev/stdin "$root/usr/share/doc/tiffsd/changelog.Debian.gz"
mkdir -p "$root/usr/bin"
ln -s /opt/tiffsd/bin/tiffsd "$root/usr/bin/tiffsd"

mkdir "$root/DEBIAN"
kilobytes=$(du --summarize --block-size=1024 "$root" | cut -f1)
sed "s/@VERSION@/$version/; s/@KILOBYTES@/$kilobytes/" debian/control > "$root/DEBIAN/control"
install --mode=644 debian/conffiles "$root/DEBIAN/conffiles"
install --mode=755 debian/postinst debian/prerm debian/postrm "$root/DEBIAN/"
(cd "$root" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) > "$root/DEBIAN/md5sums"
chmod 755 "$root"
find "$root" -type d -exec chmod 755 {} +

mkdir -p "$into"
dpkg-deb --root-owner-group -Zxz --build "$root" "$into/tiffsd_${version}_all.deb"
