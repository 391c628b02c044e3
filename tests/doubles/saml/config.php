<?php
// A provider of SAML 2.0 for tests; what differs from one to the next comes by the environment.
$home = getenv('PORTICO_SAML_HOME');
$config = [
    'baseurlpath' => getenv('PORTICO_SAML_URL') . '/',
    'certdir' => "$home/", 'loggingdir' => "$home/", 'datadir' => "$home/data/", 'tempdir' => "$home/tmp", 'metadatadir' => "$home/metadata/",
    'attributenamemapdir' => '/usr/share/simplesamlphp/attributemap/',
    'technicalcontact_email' => 'na@example.org', 'timezone' => 'UTC', 'secretsalt' => 'for tests alone', 'auth.adminpassword' => 'for tests alone',
    'admin.checkforupdates' => false, 'trusted.url.domains' => [parse_url(getenv('PORTICO_SAML_URL'), PHP_URL_HOST) . ':' . parse_url(getenv('PORTICO_SAML_URL'), PHP_URL_PORT)],
    'logging.level' => SimpleSAML\Logger::DEBUG, 'logging.handler' => 'file', 'logging.logfile' => 'provider.log', 'debug' => ['saml' => false, 'backtraces' => true],
    'enable.saml20-idp' => true, 'module.enable' => ['exampleauth' => true, 'core' => true, 'saml' => true],
    'store.type' => 'phpsession', 'session.phpsession.savepath' => "$home/sessions", 'session.phpsession.cookiename' => 'SimpleSAML', 'session.cookie.secure' => true,
    'session.cookie.samesite' => 'None', 'language.default' => 'en', 'language.available' => ['en'], 'theme.use' => 'default', 'authproc.idp' => [],
    'metadata.sources' => [['type' => 'flatfile']],
];
