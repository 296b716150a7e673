<?php
// A heartbeat by PHP's Guzzle, as the API's reference shows it.
require '/usr/share/php/GuzzleHttp/autoload.php';

$options = [
    'headers' => [
        'Authorization' => 'Bearer ' . getenv('TOKEN'),
        'Content-Type' => 'application/json',
        'Accept' => 'application/json',
        'AppIdV3' => getenv('APP'),
    ],
    'verify' => getenv('CA'),
    'http_errors' => false,
    'timeout' => 20,
];
if (getenv('BODY') !== false) {
    $options['json'] = json_decode(getenv('BODY'), true);
}

$client = new \GuzzleHttp\Client();
$reply = $client->post(getenv('URL'), $options);
echo $reply->getStatusCode(), "\n", $reply->getBody();
