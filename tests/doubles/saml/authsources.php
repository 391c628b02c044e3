<?php
$config = ['people' => [
    'exampleauth:UserPass',
    'sam:any' => ['uid' => ['sam'], 'cn' => ['Sam Provider'], 'mail' => ['sam@idp.test'], 'groups' => ['VDI-Users', 'Staff']],
    'igor:any' => ['uid' => ['igor'], 'cn' => ['Igor Provider'], 'mail' => ['igor@idp.test'], 'groups' => ['Guests']],
]];
