#!/bin/sh
# Makes the secrets of docker-compose.yml and of the Swarm stack, each once, into deploy/secrets (or the directory that
# is given). What people must know is printed when it is made, and never again; the rest is never printed.
#
#   OPENAI_API_KEY=sk-… ALERT_WEBHOOK_URL=https://… deploy/make-secrets.sh
set -eu

directory=${1:-$(dirname "$0")/secrets}
umask 077
mkdir -p "$directory"
# Nobody else may look into the directory. The files themselves are mounted one by one into containers, whose users are
# not the one who runs this.
chmod 700 "$directory"

random() { head -c "$1" /dev/urandom | od -An -v -tx1 | tr -d ' \n'; }
value() { cat "$directory/$1"; }

# keep NAME VALUE: unless it is there. Renamed into place, so that no half of one is left behind.
keep() {
	[ -s "$directory/$1" ] && return 1
	printf '%s' "$2" >"$directory/$1.new"
	chmod 444 "$directory/$1.new"
	mv "$directory/$1.new" "$directory/$1"
}

tell() { keep "$1" "$2" && printf '  %-24s %s\n' "$3" "$2" || :; }

keep jwt_secret_key "$(random 32)" || :
keep mongo_keyfile "$(random 256)" || :
keep mongo_root_password "$(random 24)" || :
keep mongo_password "$(random 24)" || :
keep mongo_monitor_password "$(random 24)" || :
keep redis_password "$(random 24)" || :
keep elastic_password "$(random 24)" || :
keep kibana_password "$(random 24)" || :
keep kibana_encryption_key "$(random 24)" || :

hosts=${MONGO_HOSTS:-mongo:27017}
keep mongodb_uri "mongodb://talkmeter:$(value mongo_password)@$hosts/talkmeter?replicaSet=rs0&authSource=admin" || :
keep mongodb_exporter.env "MONGODB_URI=mongodb://monitor:$(value mongo_monitor_password)@$hosts/?authSource=admin" || :
keep redis_url "redis://:$(value redis_password)@${REDIS_HOST:-redis:6379}/0" || :
keep redis.conf "requirepass $(value redis_password)
appendonly yes
save \"\"
maxmemory ${REDIS_MAXMEMORY:-1gb}
maxmemory-policy noeviction
protected-mode yes
" || :
keep redis_exporter.json "{\"redis://${REDIS_HOST:-redis:6379}\": \"$(value redis_password)\"}" || :

if [ ! -s "$directory/openai_api_key" ]; then
	if [ -n "${OPENAI_API_KEY:-}" ]; then
		keep openai_api_key "$OPENAI_API_KEY"
	else
		echo "OPENAI_API_KEY is empty: write the provider's key into $directory/openai_api_key" >&2
	fi
fi

# Where alerts go: a chat's incoming webhook, or a service that calls people.
if [ ! -s "$directory/alertmanager.yml" ]; then
	if [ -z "${ALERT_WEBHOOK_URL:-}" ]; then
		echo "ALERT_WEBHOOK_URL is empty: nobody is told of alerts. Name a receiver in $directory/alertmanager.yml" >&2
	fi
	keep alertmanager.yml "$(URL=${ALERT_WEBHOOK_URL:-http://127.0.0.1:9/nobody-was-named} awk \
		'{ at = index($0, "url: ALERT_WEBHOOK_URL"); if (at) $0 = substr($0, 1, at + 4) "\"" ENVIRON["URL"] "\""; print }' \
		"$(dirname "$0")/alertmanager/alertmanager.yml")" || :
fi

echo "New secrets that people need, shown only now (nothing when there are none):"
tell admin_password "$(random 12)" "admin's password"
tell flower_basic_auth "operator:$(random 12)" "Flower"
tell grafana_admin_password "$(random 12)" "Grafana's admin"
