"""Runs inside the isolated environment: the server of Label Studio, on this machine only, which tells nobody anything."""

import http.client
import ipaddress
import os
import sys
import threading
import time

HOST = "127.0.0.1"
LOOK_S = 0.25

# Its own ways to other machines (usage, errors, news of releases), and what it allows everyone by default: other web pages
# to read it, other names than this machine's own (DNS rebinding), and strangers to sign up.
CLOSED = {
    "COLLECT_ANALYTICS": "false",
    "SENTRY_DSN": "",
    "FRONTEND_SENTRY_DSN": "",
    "LATEST_VERSION_CHECK": "false",
    "FEATURE_FLAGS_OFFLINE": "true",
    "CORS_ALLOW_ALL_ORIGINS": "false",
    "ALLOWED_HOSTS": "127.0.0.1,localhost",
    "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
}


def serve(request, progress):
    """Serve until this process is ended.

    Args:
        request: `port`; `data`, the folder of its database; `served`, the folder whose subfolders a project may play sound
            from; `user`, an address of mail; `password` and `token` of that user, who is made on the first start.
        progress: called with `{"ready": true}` once it answers.
    """
    sys.addaudithook(_keep_inside)
    os.environ.update(CLOSED)
    os.environ["LABEL_STUDIO_BASE_DATA_DIR"] = request["data"]
    os.environ["LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED"] = "true"
    os.environ["LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT"] = request["served"]
    os.environ["LABEL_STUDIO_PORT"] = str(request["port"])
    # As `label_studio.server.main`, but the token stays out of the list of processes, and counts on every start.
    from label_studio import server

    server._setup_env()
    server._apply_database_migrations()
    _let_in(request["user"], request["password"], request["token"])
    threading.Thread(target=_tell_when_ready, args=(request["port"], progress), daemon=True).start()
    server._app_run(HOST, request["port"])
    return {}


def _keep_inside(event, arguments):
    """Refuses connections to other machines: its pages ask for tips from elsewhere, which no setting turns off."""
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    host = host.decode() if isinstance(host, bytes) else host
    if host in (None, "", "localhost"):
        return
    try:
        inside = ipaddress.ip_address(host).is_loopback
    except ValueError:
        inside = False
    if not inside:
        raise PermissionError(f"Label Studio may not connect to {host}: it serves this machine only")


def _let_in(email, password, token):
    from organizations.models import Organization
    from rest_framework.authtoken.models import Token
    from users.models import User

    user = User.objects.filter(email=email).first()
    if user is None:
        user = User.objects.create_user(email=email, password=password, is_staff=True, is_superuser=True)
    elif not user.check_password(password):
        user.set_password(password)
    organization = Organization.objects.first()
    if organization is None:
        organization = Organization.create_organization(created_by=user, title="Label Studio")
    organization.jwt.legacy_api_tokens_enabled = True
    organization.jwt.save()
    user.active_organization = organization
    user.save()
    Token.objects.filter(user=user).exclude(key=token).update(key=token)


def _tell_when_ready(port, progress):
    while True:
        asked = http.client.HTTPConnection(HOST, port, timeout=5)
        try:
            asked.request("GET", "/health")
            if asked.getresponse().status == 200:
                progress({"ready": True})
                return
        except OSError:
            time.sleep(LOOK_S)
        finally:
            asked.close()
