#!/bin/bash
# restore_config.sh

BACKUP_FILE="$1"

if [ -z "$BACKUP_FILE" ]; then
    echo "Usage: restore_config.sh <backup_file>"
    exit 1
fi

# Stop service
systemctl stop pacs_bridge

# Backup current configuration
mv /etc/pacs_bridge /etc/pacs_bridge.old

# Restore from backup
mkdir -p /etc/pacs_bridge
tar -xzf "${BACKUP_FILE}" -C /etc

# Set permissions
chown -R pacs_bridge:pacs_bridge /etc/pacs_bridge
chmod 600 /etc/pacs_bridge/config.yaml

# Validate configuration
/opt/pacs_bridge/bin/pacs_bridge --config /etc/pacs_bridge/config.yaml --validate

if [ $? -eq 0 ]; then
    # Start service
    systemctl start pacs_bridge
    echo "Configuration restored and service started"
else
    # Rollback
    rm -rf /etc/pacs_bridge
    mv /etc/pacs_bridge.old /etc/pacs_bridge
    systemctl start pacs_bridge
    echo "ERROR: Configuration validation failed, rolled back"
    exit 1
fi
