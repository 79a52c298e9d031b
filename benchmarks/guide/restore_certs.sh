#!/bin/bash
# restore_certs.sh

BACKUP_FILE="$1"
ENCRYPTION_KEY="/root/.backup_key"

if [ -z "$BACKUP_FILE" ]; then
    echo "Usage: restore_certs.sh <backup_file>"
    exit 1
fi

# Stop service
systemctl stop pacs_bridge

# Backup current certificates
mv /etc/pacs_bridge/certs /etc/pacs_bridge/certs.old

# Restore from backup
mkdir -p /etc/pacs_bridge/certs
openssl enc -d -aes-256-cbc -pbkdf2 \
    -pass file:${ENCRYPTION_KEY} \
    -in "${BACKUP_FILE}" | tar -xf - -C /etc/pacs_bridge

# Set permissions
chown -R pacs_bridge:pacs_bridge /etc/pacs_bridge/certs
chmod 600 /etc/pacs_bridge/certs/*.key
chmod 644 /etc/pacs_bridge/certs/*.crt

# Verify certificates
openssl x509 -in /etc/pacs_bridge/certs/server.crt -noout -dates

if [ $? -eq 0 ]; then
    # Start service
    systemctl start pacs_bridge
    rm -rf /etc/pacs_bridge/certs.old
    echo "Certificates restored and service started"
else
    # Rollback
    rm -rf /etc/pacs_bridge/certs
    mv /etc/pacs_bridge/certs.old /etc/pacs_bridge/certs
    systemctl start pacs_bridge
    echo "ERROR: Certificate verification failed, rolled back"
    exit 1
fi
