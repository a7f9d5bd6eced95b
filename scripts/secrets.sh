#!/bin/sh
# Make the passwords of docker-compose.yml, once: scripts/secrets.sh [FOLDER]
#
# The folder is closed to other users of this machine. The files in it are not: containers read them
# by users of their own, each of whom is given only those it needs.
set -eu
folder=${1:-secrets}
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }

if [ -e "$folder/database_password" ]; then
    echo "$folder holds passwords already, and a database may have been made with them: nothing was changed." >&2
    exit 1
fi
umask 077
mkdir -p "$folder"
chmod 700 "$folder"
database=$(random)
broker=$(random)
printf '%s\n' "requirepass $broker" > "$folder/broker_conf"
printf '%s\n' "redis://:$broker@broker:6379/0" > "$folder/broker_url"
printf '%s\n' "postgresql://scopebook:$database@postgres:5432/scopebook" > "$folder/database_url"
# Last: with it the folder is whole.
printf '%s' "$database" > "$folder/database_password"
chmod 444 "$folder"/*
echo "The passwords are in $folder; keep a copy of it with your backups."
