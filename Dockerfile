# The toolkit as an image: build it with `docker build -t blocker .`, run it with the host's network, for a resolver
# answers from the addresses that its clients ask:
#
#   docker run --network host -v ./policies:/etc/blocker/policies:ro -v blocker-state:/etc/blocker/state blocker
#
# Without a volume over it, /etc/blocker/policies is the trial site of this repository.

FROM python:3.13-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY ops/install ops/install
COPY blocker blocker
RUN ops/install --copy --prefix /opt/blocker

FROM python:3.13-slim
# ssh-keygen, which verifies the approvals of orders.
RUN apt-get update -q && apt-get install -q -y --no-install-recommends openssh-client \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --system --user-group --home-dir /etc/blocker --shell /usr/sbin/nologin blocker \
    && install -d -o blocker -g blocker -m 2750 /etc/blocker/state
COPY --from=build /opt/blocker /opt/blocker
COPY policies /etc/blocker/policies
ENV PATH=/opt/blocker/bin:$PATH BLOCKER_SITE=/etc/blocker/policies/site.yaml
WORKDIR /etc/blocker
USER blocker
VOLUME /etc/blocker/state
EXPOSE 5300/udp 5300/tcp 9353/tcp
# /healthz says that the web process is up; a site with another web.listen changes the address here.
HEALTHCHECK --interval=30s --timeout=3s --start-period=10s CMD ["python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9353/healthz', timeout=2).close()"]
STOPSIGNAL SIGTERM
# As `make run`: what could not be applied has been said, and the last good policy is served.
CMD ["sh", "-c", "blocker apply --yes; exec blocker run"]
