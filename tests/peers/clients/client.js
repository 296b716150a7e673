// A heartbeat by JavaScript's fetch, as the API's reference shows it.
const { URL: url, TOKEN, APP, BODY } = process.env;

const options = {
    method: "POST",
    signal: AbortSignal.timeout(20000),
    headers: {
        "Authorization": `Bearer ${TOKEN}`,
        "Content-Type": "application/json",
        "Accept": "application/json",
        "AppIdV3": APP,
    },
};
if (BODY !== undefined) options.body = JSON.stringify(JSON.parse(BODY));

fetch(url, options).then(async (reply) => {
    process.stdout.write(`${reply.status}\n${await reply.text()}`);
});
