import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { localPath } from "../../../src/storage/download/local-path.ts";
import { fetchIt, options, refused, server, useServer } from "./rig.ts";

useServer();

// Of this test only: `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=localhost`.
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZitBvyiUWiMXFTOZ
cZU3t9FxR6UOTaRhuBYrGhSWBIGhRANCAASu2Ryo4JgRYS9E/8lKJInGTC5sWtD6
efTJ9OcrXIjZ78NDddJGtXMTgCqKPVrZqx7e4IakMg7fQH4uOLGYwyxn
-----END PRIVATE KEY-----`;
const cert = `-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUBKKeU4z202FIYxoqkcWzav6EI2gwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzA4MjExNFoYDzIxMjYxMDMw
MDgyMTE0WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASu2Ryo4JgRYS9E/8lKJInGTC5sWtD6efTJ9OcrXIjZ78NDddJGtXMT
gCqKPVrZqx7e4IakMg7fQH4uOLGYwyxno1MwUTAdBgNVHQ4EFgQU2I1ximBZ+4nB
DTQXKLEYTbxkBJ8wHwYDVR0jBBgwFoAU2I1ximBZ+4nBDTQXKLEYTbxkBJ8wDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiEAoqS6iJD4Jml5ZgPA5yyK
co+0Ze4HHOG1KvN/bNHySzACIEQydpBYwmLf1wMqYvOKebpEUTlqmAidxsb8JooN
VB48
-----END CERTIFICATE-----`;

let secure: Server;
let origin = "";
beforeEach(async () => {
  secure = createServer({ key, cert }, (_, response) => {
    response.writeHead(302, { location: `${server.origin}/model.pt` }).end();
  });
  await new Promise<void>((listening) => secure.listen(0, "127.0.0.1", listening));
  origin = `https://127.0.0.1:${(secure.address() as AddressInfo).port}`;
});
afterEach(async () => {
  delete process.env.NODE_TLS_REJECT_UNAUTHORIZED;
  secure.closeAllConnections();
  await new Promise((closed) => secure.close(closed));
});

test("a certificate that nobody vouches for is refused at once", async () => {
  let pauses = 0;
  const pause = async () => {
    pauses += 1;
  };
  await refused(
    localPath(`${origin}/model.pt`, options({ pause })),
    /its certificate is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\)/,
  );
  expect(pauses).toBe(0);
});

test("a redirect from https to http is refused, and not followed", async () => {
  process.env.NODE_TLS_REJECT_UNAUTHORIZED = "0";
  await refused(localPath(`${origin}/model.pt`, options()), /redirects from https to http:\/\/127\.0\.0\.1:\d+$/);
  expect(server.requests).toEqual([]);
  await refused(fetchIt(), /there is no such file/); // the same address asked for as http is served
});
